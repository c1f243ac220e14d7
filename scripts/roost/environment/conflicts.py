"""Find environments that conflict: one app, one copy, one name or one SOPS file in two files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.environment.files import DEFAULTS, EnvironmentFile, files_in, read_content
from roost.environment.model import Environment
from roost.environment.rules import replica_of
from roost.environment.yaml_source import Path as YamlPath
from roost.environment.yaml_source import Source, printable
from roost.errors import Fault

Sources = Mapping[str, Source]
"""What each environment was read from, by the path of its file."""


@dataclass(frozen=True)
class _Claim:
    """Something that only one environment may use."""

    path: YamlPath
    value: Callable[[Environment], str]
    """Returns it in a form that can be compared; empty where the environment uses none."""
    message: str

    def mark(self, environment: Environment) -> str:
        """Return the text that any file with the same claim must contain."""
        return self.value(environment).rpartition(" ")[2]


def _replica_place(environment: Environment) -> str:
    replica = replica_of(environment)
    return f"{(replica.endpoint or 'https://amazon').lower()} {replica.url}" if replica else ""


_CLAIMS = (
    _Claim(
        ("app",),
        lambda environment: environment.app,
        "the app {value} is also that of {there}; one app, one file",
    ),
    _Claim(
        ("database", "replicate"),
        _replica_place,
        "{value} is also where {there} is copied to, and two writers spoil a copy; "
        "give each a path of its own",
    ),
)


def conflicts(files: Sequence[EnvironmentFile], sources: Sources) -> Iterator[Fault]:
    """Find files that claim the same app or copy, and unprotected ones that share SOPS files."""
    for claim in _CLAIMS:
        yield from _shared(claim, files, sources)
    for file in files:
        yield from _shared_sops_files(file, files, sources)


def conflicts_with(
    file: EnvironmentFile, others: Sequence[EnvironmentFile], sources: Sources
) -> Iterator[Fault]:
    """Find the conflicts of one file with others, and not those of the others among themselves."""
    for claim in _CLAIMS:
        value = claim.value(file.environment)
        same = [other for other in others if claim.value(other.environment) == value]
        yield from _shared(claim, [file, *same], sources)
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
    marks = [mark for claim in _CLAIMS if (mark := claim.mark(file.environment))]
    if not file.environment.protected:
        marks += [
            name for found in _sops_files(file) for name in (found.path.name, found.real.name)
        ]
    by_default = any(_contains(folder / DEFAULTS, mark) for mark in marks)
    return [
        path
        for path in files_in([folder], [])
        if path != file.path and (by_default or any(_contains(path, mark) for mark in marks))
    ]


def _shared(claim: _Claim, files: Sequence[EnvironmentFile], sources: Sources) -> Iterator[Fault]:
    """Find files with one claim: each apply of one would undo the last apply of the other."""
    first: dict[str, Path] = {}
    for file in files:
        value = claim.value(file.environment)
        other = first.setdefault(value, file.path) if value else file.path
        if other != file.path:
            position = sources[str(file.path)].value(claim.path)
            theirs = sources[str(other)].value(claim.path)
            # A value from the defaults is in no line of the file itself.
            there = f"{other}:{theirs.line}" if theirs.path == str(other) else str(other)
            mark = claim.mark(file.environment)
            yield position.fault(claim.message.format(value=mark, there=there))


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
            yield _SopsFile(place, name, path, path.resolve())


def _contains(path: Path, text: str) -> bool:
    try:
        return text.encode() in read_content(path)
    except OSError:
        return False
