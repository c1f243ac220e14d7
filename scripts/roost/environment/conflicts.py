"""Find environments that conflict: one app, one copy, one name or one SOPS file in two files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.environment.files import DEFAULTS, EnvironmentFile, files_in, read_content
from roost.environment.flow_units import flow_app
from roost.environment.redis_unit import redis_units
from roost.environment.rules import replica_of
from roost.environment.sops_file import real_path
from roost.environment.waker_unit import waker_units
from roost.environment.yaml_source import Path as YamlPath
from roost.environment.yaml_source import Source, printable
from roost.errors import Fault

_BESIDE = (b"flows", b"managed")
"""Words of files with apps whose names are put together from two values."""
Sources = Mapping[str, Source]
"""What each environment was read from, by the path of its file."""


@dataclass(frozen=True)
class _Kind:
    """Something that only one environment may use: how it is found, and the fault of the second."""

    claims: Callable[[EnvironmentFile], Iterator[_Claim]]
    message: str


@dataclass(frozen=True)
class _Claim:
    """What one environment uses, in a form that can be compared, with its place in the file."""

    path: YamlPath
    value: str

    @property
    def mark(self) -> str:
        """The text that stands for it in a message."""
        return self.value.rpartition(" ")[2]


def _apps(file: EnvironmentFile) -> Iterator[_Claim]:
    """Yield the app of the server, and those beside it that the file deploys."""
    environment = file.environment
    yield _Claim(("app",), environment.app)
    for index, entry in enumerate(environment.flows):
        yield _Claim(("flows", index, "name"), flow_app(environment.app, entry.name))
    for unit in waker_units(file):
        yield _Claim(("waker", "app"), unit.environment.app)
    for unit in redis_units(file):
        yield _Claim(("redis", "managed"), unit.environment.app)


def _replica_place(file: EnvironmentFile) -> Iterator[_Claim]:
    if replica := replica_of(file.environment):
        endpoint = (replica.endpoint or "https://amazon").lower()
        yield _Claim(("database", "replicate"), f"{endpoint} {replica.url}")


_KINDS = (
    _Kind(_apps, "the app {value} is also that of {there}; one app, one file"),
    _Kind(
        _replica_place,
        "{value} is also where {there} is copied to, and two writers spoil a copy; "
        "give each a path of its own",
    ),
)


def conflicts(files: Sequence[EnvironmentFile], sources: Sources) -> Iterator[Fault]:
    """Find files that claim the same app or copy, and unprotected ones that share SOPS files."""
    for kind in _KINDS:
        yield from _shared(kind, files, sources)
    for file in files:
        yield from _shared_sops_files(file, files, sources)


def conflicts_with(
    file: EnvironmentFile, others: Sequence[EnvironmentFile], sources: Sources
) -> Iterator[Fault]:
    """Find the conflicts of one file with others, and not those of the others among themselves."""
    for kind in _KINDS:
        values = _values(kind, file)
        yield from _shared(kind, [file, *others], sources, values)
    yield from _shared_sops_files(file, others, sources)


def same_names(paths: Iterable[Path]) -> Iterator[Fault]:
    """Find two files of one folder that are one environment: GitHub compares names without case."""
    first: dict[tuple[Path, str], Path] = {}
    for path in paths:
        other = first.setdefault((path.parent, path.stem.lower()), path)
        if other != path:
            message = f"{other.name} is the same environment, whatever the case or suffix; keep one"
            yield Fault(str(path), 1, 1, printable(message))


def possible_rivals(file: EnvironmentFile, folder: Path) -> list[Path]:
    """Return the other files of a folder that may claim what this one does.

    Only those that contain the text of a claim, or have it from their defaults, are returned:
    parsing all files of a folder of 1,000 takes seconds.
    """
    marks = [claim.mark for kind in _KINDS for claim in kind.claims(file)]
    if not file.environment.protected:
        marks += [
            name for found in _sops_files(file) for name in (found.path.name, found.real.name)
        ]
    # The app of a flow server or a Redis is put together from two values, so its text is in no file.
    parts = [part for claim in _apps(file) for part in _parts_of(claim.value)]
    defaults = _text(folder / DEFAULTS)
    by_default = any(mark.encode() in defaults for mark in marks) or _has_apps_beside(defaults)
    return [
        path
        for path in files_in([folder], [])
        if path != file.path and (by_default or _may_claim(_text(path), marks, parts))
    ]


def _parts_of(app: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield each server's app and name that a flow server with this app can have."""
    words = app.encode().split(b"-")
    for count in range(1, len(words)):
        yield b"-".join(words[:count]), b"-".join(words[count:])


def _may_claim(text: bytes, marks: Iterable[str], parts: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a file has the text of a claim, or both parts of the app of what stands beside."""
    if any(mark.encode() in text for mark in marks):
        return True
    return _has_apps_beside(text) and any(app in text and name in text for app, name in parts)


def _has_apps_beside(text: bytes) -> bool:
    return any(word in text for word in _BESIDE)


def _values(kind: _Kind, file: EnvironmentFile) -> frozenset[str]:
    return frozenset(claim.value for claim in kind.claims(file))


def _shared(
    kind: _Kind,
    files: Sequence[EnvironmentFile],
    sources: Sources,
    only: frozenset[str] | None = None,
) -> Iterator[Fault]:
    """Find files with one claim: each apply of one would undo the last apply of the other.

    With `only`, claims of other values are left out.
    """
    first: dict[str, tuple[Path, _Claim]] = {}
    for file in files:
        for claim in kind.claims(file):
            other, theirs = first.setdefault(claim.value, (file.path, claim))
            if other == file.path or (only is not None and claim.value not in only):
                continue
            position = sources[str(file.path)].value(claim.path)
            place = sources[str(other)].value(theirs.path)
            # A value from the defaults is in no line of the file itself.
            there = f"{other}:{place.line}" if place.path == str(other) else str(other)
            yield position.fault(kind.message.format(value=claim.mark, there=there))


def _shared_sops_files(
    file: EnvironmentFile, others: Sequence[EnvironmentFile], sources: Sources
) -> Iterator[Fault]:
    """Find the SOPS files of protected environments that an unprotected environment names.

    An unprotected file has no code owner: anybody could choose its image, and where one key opens
    both, that image would be given the protected values.
    """
    if file.environment.protected:
        return
    protected = {
        found.real: other.path
        for other in others
        if other.environment.protected and other.path.parent == file.path.parent
        for found in _sops_files(other)
    }
    for found in _sops_files(file):
        if other := protected.get(found.real):
            position = sources[str(file.path)].value((*found.place, "from", "sops"))
            yield position.fault(
                f"{found.name} has the secrets of {other}, which is protected, and {file.name} is "
                f"not; give {file.name} a file of its own with a key of its own, such as "
                f"{file.name}.sops.yaml"
            )


@dataclass(frozen=True)
class _SopsFile:
    """A SOPS file that a secret names; `real` is its path with links resolved."""

    place: YamlPath
    name: str
    path: Path
    real: Path


def _sops_files(file: EnvironmentFile) -> Iterator[_SopsFile]:
    for place, secret in file.environment.all_secrets:
        if name := secret.source.sops:
            path = file.repository / name
            yield _SopsFile(place, name, path, real_path(path))


def _text(path: Path) -> bytes:
    try:
        return read_content(path)
    except OSError:
        return b""
