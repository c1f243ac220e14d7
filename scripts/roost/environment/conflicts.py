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

_SECRETS = b"secrets"
"""The word of each list of a server's secrets."""
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
    """Find files that claim the same app or copy, and SOPS files that are shared and may not be."""
    for kind in _KINDS:
        yield from _shared(kind, files, sources)
    named = _named(files)
    for file in files:
        yield from _shared_sops_files(file, named, sources)


def conflicts_with(
    file: EnvironmentFile, others: Sequence[EnvironmentFile], sources: Sources
) -> Iterator[Fault]:
    """Find the conflicts of one file with others, and not those of the others among themselves."""
    for kind in _KINDS:
        values = _values(kind, file)
        yield from _shared(kind, [file, *others], sources, values)
    yield from _shared_sops_files(file, _named([file, *others]), sources)


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
    addresses: list[str] = []
    for found in filter(_apart_from, _sops_files(file)):
        of = addresses if found.is_address else marks
        of += [found.path.name, found.real.name]
    # The app of a flow server or a Redis is put together from two values, so its text is in no file.
    parts = [part for claim in _apps(file) for part in _parts_of(claim.value)]
    defaults = _text(folder / DEFAULTS)
    # An address of the defaults is everybody's, and may be: only their secrets can be in its file.
    by_all = [*marks, *(addresses if _SECRETS in defaults else ())]
    by_default = any(mark.encode() in defaults for mark in by_all) or _has_apps_beside(defaults)
    marks += addresses
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


@dataclass(frozen=True)
class _SopsFile:
    """A SOPS file that a secret names; `real` is its path with links resolved."""

    file: EnvironmentFile
    place: YamlPath
    name: str
    path: Path
    real: Path
    is_address: bool

    @property
    def protected(self) -> bool:
        """Whether the environment that names it is protected."""
        return self.file.environment.protected


_Named = Mapping[tuple[Path, Path, bool, bool], _SopsFile]
"""By folder, by real path, whether it has addresses, and whether the environment is protected."""


def _named(files: Iterable[EnvironmentFile]) -> _Named:
    found: dict[tuple[Path, Path, bool, bool], _SopsFile] = {}
    for file in files:
        for one in _sops_files(file):
            found.setdefault((file.path.parent, one.real, one.is_address, one.protected), one)
    return found


def _shared_sops_files(file: EnvironmentFile, named: _Named, sources: Sources) -> Iterator[Fault]:
    """Find the SOPS files that an environment names and may not share with what names them too.

    The fault is that of the unprotected environment, which nobody owns: it must not keep a protected
    one from being deployed. Of two equal ones it is that of the address.
    """
    for mine in _sops_files(file):
        keys = ((file.path.parent, mine.real, *other) for other in _apart_from(mine))
        if theirs := next((named[key] for key in keys if key in named), None):
            position = sources[str(file.path)].value((*mine.place, "from", "sops"))
            yield position.fault(_why_apart(mine, theirs))


def _apart_from(mine: _SopsFile) -> tuple[tuple[bool, bool], ...]:
    """Return what may not be in the same SOPS file: whether it is an address, and is protected.

    The jobs that send messages have the keys of addresses, so no secret of a server is in their files.
    An unprotected file has no code owner: anybody could choose its image, and where one key opens
    both, that image would be given the protected values.
    """
    if mine.is_address:
        return ((False, True),) if mine.protected else ((False, True), (False, False))
    return () if mine.protected else ((False, True), (True, True))


def _why_apart(mine: _SopsFile, theirs: _SopsFile) -> str:
    name, there = mine.file.name, theirs.file.path
    if mine.is_address:
        return (
            f"{mine.name} has other secrets of {there}, and its key would be given to the jobs that "
            "send messages; use a file with a key of its own, such as notify.sops.yaml"
        )
    what = (
        f"the addresses for messages of {there}, whose jobs have its key"
        if theirs.is_address
        else f"the secrets of {there}, which is protected, and {name} is not"
    )
    return (
        f"{mine.name} has {what}; give {name} a file of its own with a key of its own, such as "
        f"{name}.sops.yaml"
    )


def _sops_files(file: EnvironmentFile) -> Iterator[_SopsFile]:
    environment = file.environment
    of_jobs = (*environment.server_secrets, *environment.bucket_keys)
    for secrets, is_address in ((of_jobs, False), (environment.addresses, True)):
        for place, secret in secrets:
            if name := secret.source.sops:
                path = file.repository / name
                yield _SopsFile(file, place, name, path, real_path(path), is_address)


def _text(path: Path) -> bytes:
    try:
        return read_content(path)
    except OSError:
        return b""
