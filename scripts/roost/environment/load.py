"""Environment files from disk to values, with every fault of every file in one run."""

from __future__ import annotations

import difflib
import errno
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from roost.environment import messages
from roost.environment.model import Environment, Secret, expand_drift
from roost.environment.names import name_fault
from roost.environment.prefect_settings import deploy_of, settings_of, version_fault
from roost.environment.rules import findings, replica_of
from roost.environment.schema import disagreements
from roost.environment.settings_rules import settings_findings
from roost.environment.sops_file import (
    SopsFile,
    SopsFileError,
    leads_out,
    read_sops_file,
    repository_of,
    sops_path,
)
from roost.environment.yaml_source import MAX_BYTES, Source, printable, read_source
from roost.environment.yaml_source import Path as YamlPath
from roost.errors import Fault, InvalidFilesError, UnknownEnvironmentError

SUFFIXES = (".yaml", ".yml")
DEFAULTS = "_defaults.yaml"
DEEPEST = 3
"""So many folders below one are looked into for environments that stand in the wrong place."""
_ENVIRONMENT = re.compile(rb"^(app|prefect)\s*:", re.MULTILINE)
_STRAY = (
    "is in the folder {folder}, where no environment is looked for: they are files directly in the "
    "folder of the environments; move it there"
)


@dataclass(frozen=True)
class EnvironmentFile:
    """One environment: its name is the file's, without the suffix."""

    name: str
    path: Path
    environment: Environment

    @property
    def repository(self) -> Path:
        """The folder that SOPS files are named from."""
        return repository_of(self.path)


@dataclass(frozen=True)
class Loaded:
    """What a set of paths holds: the good files, and every fault of the others."""

    files: tuple[EnvironmentFile, ...]
    faults: tuple[Fault, ...]


def load_files(paths: Sequence[Path]) -> Loaded:
    """Load files, and the environment files of folders; nothing is raised for what they hold."""
    files, sources, faults = _load(paths)
    faults.extend(fault for claim in _CLAIMS for fault in _shared(claim, files, sources))
    faults.extend(fault for file in files for fault in _opened(file, files, sources))
    faults.extend(_same_name(_files_in(paths, [])))
    faults.extend(fault for path in paths for fault in _strays(path, DEEPEST))
    return Loaded(tuple(files), tuple(sorted(set(faults))))


def _load(
    paths: Sequence[Path],
) -> tuple[list[EnvironmentFile], dict[str, Source], list[Fault]]:
    """Load each file alone: the good ones, what they were read from, and the faults of the rest."""
    files: list[EnvironmentFile] = []
    faults: list[Fault] = []
    defaults: dict[Path, Source] = {}
    sources: dict[str, Source] = {}
    for path in _files_in(paths, faults):
        if path.parent not in defaults:
            defaults[path.parent] = _read_defaults(path.parent)
            faults.extend(defaults[path.parent].faults)
        loaded, source, found = load_file(path, defaults[path.parent])
        faults.extend(found)
        if loaded:
            files.append(loaded)
            sources[str(path)] = source
    return files, sources, faults


def load_environment(name: str, folder: Path) -> EnvironmentFile:
    """Load one environment by its name.

    Raises:
        UnknownEnvironmentError: no file has that name; says which do.
        InvalidFilesError: the file, or the defaults beside it, has faults, or another file of the
            folder means the same app, is copied to the same place, or is protected and has its
            secrets in the same file.
    """
    path = _by_name(folder).get(name)
    if path is None:
        raise _unknown(name, folder)
    loaded = load_files([path])
    faults = loaded.faults or tuple(_rivals(loaded.files[0], folder))
    if faults:
        raise InvalidFilesError(faults)
    return loaded.files[0]


def environment_names(folder: Path) -> frozenset[str]:
    """Name the environments that have a file, whatever is in it."""
    return frozenset(_by_name(folder))


def load_file(path: Path, defaults: Source) -> tuple[EnvironmentFile | None, Source, list[Fault]]:
    """Load one file with its defaults merged in: the environment if it is good, and its faults."""
    own = _read(path)
    if own.faults or defaults.faults:  # what broken defaults leave out is no fault of this file
        return None, own, list(own.faults)
    source = merge_defaults(own, defaults)
    name = path.stem
    wrong = name_fault(name)
    faults = [Fault(str(path), 1, 1, printable(wrong))] if wrong else []
    environment, found = check(source)
    faults.extend(found)
    if environment:
        faults.extend(_sops_faults(environment, source, repository_of(path)))
        faults.extend(_prefect_faults(environment, source, deploy_of(path)))
    if environment is None or faults:
        return None, source, faults
    return EnvironmentFile(name, path, environment), source, []


def check(source: Source) -> tuple[Environment | None, list[Fault]]:
    """Hold data to the model, the rules and the schema, in that order."""
    data = {key: value for key, value in source.data.items() if not key.startswith("x-")}
    try:
        environment = Environment.model_validate(data)
    except ValidationError as error:
        return None, [_fault(source, detail) for detail in error.errors(include_url=False)]
    faults = [source.value(path).fault(message) for path, message in findings(environment)]
    if not faults:
        faults = [
            source.value(path).fault(
                f"the schema disagrees with the model ({message}); please report this"
            )
            for path, message in disagreements(data)
        ]
    return environment, faults


def _sops_faults(environment: Environment, source: Source, repository: Path) -> Iterator[Fault]:
    """Hold each SOPS file that is named to what can be seen of it without a key."""
    known: dict[str, SopsFile | str] = {}
    for index, secret in enumerate(environment.secrets):
        name = secret.source.sops
        if not name:
            continue
        if name not in known:
            known[name] = _look_at(repository, name)
        file = known[name]
        message = file if isinstance(file, str) else file.fault(secret.name)
        if message:
            yield source.value(("secrets", index, "from", "sops")).fault(f"{name} {message}")


def _prefect_faults(environment: Environment, source: Source, deploy: Path) -> Iterator[Fault]:
    """Hold the file to what its version of Prefect takes."""
    prefect = environment.prefect
    if prefect.image is None and (message := version_fault(prefect.version, deploy)):
        yield source.value(("prefect", "version")).fault(message)
    known = settings_of(deploy, prefect.version)
    for path, message in settings_findings(environment, known):
        yield source.value(path).fault(message)


def _look_at(repository: Path, name: str) -> SopsFile | str:
    try:
        return read_sops_file(sops_path(repository, name))
    except SopsFileError as error:
        return str(error)


def merge_defaults(own: Source, defaults: Source) -> Source:
    """Put the defaults under a file, one level deep: mappings key by key, anything else whole.

    A file that names another database backend than the defaults has nothing of theirs.
    """
    data: dict[str, Any] = {
        key: value for key, value in defaults.data.items() if not key.startswith("x-")
    }
    for key, value in own.data.items():
        below, here = data.get(key), value
        if key == "drift":  # what it ignores by default stays ignored under `drift: heal`
            below, here = expand_drift(below), expand_drift(value)
        if isinstance(here, dict) and isinstance(below, dict) and not _is_another(key, here, below):
            data[key] = {**below, **here}
        else:
            data[key] = value
    return Source(own.path, data, {**defaults.keys, **own.keys}, {**defaults.values, **own.values})


def _is_another(key: str, here: dict[Any, Any], below: dict[Any, Any]) -> bool:
    """Return whether a file's section is of another kind than that of the defaults."""
    return key == "database" and here.get("backend", below.get("backend")) != below.get("backend")


def merged(file: EnvironmentFile) -> dict[str, Any]:
    """Return an environment with every default written out, in the file's own form."""
    data = file.environment.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**data, "secrets": [_written(secret) for secret in file.environment.secrets]}


def _written(secret: Secret) -> str | dict[str, Any]:
    """Return a secret the way a person writes it."""
    if secret.source.env == secret.name:
        return secret.name
    return {"name": secret.name, "from": secret.source.model_dump(exclude_defaults=True)}


def _fault(source: Source, detail: Any) -> Fault:
    path = messages.field_path(detail)
    unknown = detail["type"] == "extra_forbidden"
    position = source.key(path) if unknown else source.value(path)
    return position.fault(messages.message(detail, path))


def _read(path: Path) -> Source:
    """Read a file, never more of it than an environment may have."""
    try:
        content = _content(path)
    except OSError as error:
        return Source(str(path), {}, faults=(_unreadable(path, error),))
    return read_source(str(path), content)


def _unreadable(path: Path, error: OSError) -> Fault:
    reason = (error.strerror or "no reason given").lower()
    return Fault(str(path), 1, 1, f"cannot be read: {reason}")


def _content(path: Path) -> bytes:
    mode = path.stat().st_mode
    if path.is_symlink() and leads_out(path, repository_of(path)):
        # A file is read beside tokens, and what is wrong with it is shown.
        raise OSError(errno.EINVAL, "A link out of the repository; put the file itself here")
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder says itself that it is one
        raise OSError(errno.EINVAL, "Not a file; a pipe or a device may have no end")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _read_defaults(folder: Path) -> Source:
    path = folder / DEFAULTS
    return _read(path) if _mode(path) else Source(str(path), {})


def _files_in(paths: Iterable[Path], faults: list[Fault]) -> Iterator[Path]:
    for path in paths:
        if stat.S_ISDIR(_mode(path)):
            try:
                found = sorted(entry for entry in path.iterdir() if entry.suffix in SUFFIXES)
            except OSError as error:
                faults.append(_unreadable(path, error))
                continue
            yield from (entry for entry in found if not entry.name.startswith("_"))
        elif path.name == DEFAULTS:
            faults.extend(_read(path).faults)
        else:
            yield path


def _strays(folder: Path, levels: int) -> Iterator[Fault]:
    """Find files below a folder that are written as environments, and would never be read as such."""
    for below in _folders_in(folder):
        for path in _listed(below):
            if path.suffix in SUFFIXES and _looks_like_environment(path):
                yield Fault(str(path), 1, 1, _STRAY.format(folder=below.name))
        if levels > 1:
            yield from _strays(below, levels - 1)


def _folders_in(folder: Path) -> list[Path]:
    # Not through links: one may lead back up.
    return [path for path in _listed(folder) if path.is_dir() and not path.is_symlink()]


def _listed(folder: Path) -> list[Path]:
    """List what is in a folder but hidden names; nothing where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    except OSError:
        return []


def _looks_like_environment(path: Path) -> bool:
    try:
        return bool(_ENVIRONMENT.search(_content(path)))
    except OSError:
        return False


def _mode(path: Path) -> int:
    """Return what kind of thing is there, 0 for nothing; pathlib's own answers may raise."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _by_name(folder: Path) -> dict[str, Path]:
    """Return a folder's environments; of NAME.yaml and NAME.yml the first."""
    found = list(_files_in([folder], [])) if stat.S_ISDIR(_mode(folder)) else []
    return {path.stem: path for path in reversed(found)}


@dataclass(frozen=True)
class _Claim:
    """What belongs to one environment alone."""

    path: YamlPath
    what: Callable[[Environment], str]
    """Gives it in a form that compares; empty where there is none."""
    message: str

    def mark(self, environment: Environment) -> str:
        """Return the text that any file which claims the same must hold."""
        return self.what(environment).rpartition(" ")[2]


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


def _same_name(paths: Iterable[Path]) -> Iterator[Fault]:
    """Two files of one folder that are one environment: GitHub compares names without case."""
    first: dict[tuple[Path, str], Path] = {}
    for path in paths:
        other = first.setdefault((path.parent, path.stem.lower()), path)
        if other != path:
            message = f"{other.name} is the same environment, whatever the case or suffix; keep one"
            yield Fault(str(path), 1, 1, printable(message))


def _shared(
    claim: _Claim, files: Sequence[EnvironmentFile], sources: dict[str, Source]
) -> Iterator[Fault]:
    """Two files that mean one app, or one copy, would undo each other for ever."""
    first: dict[str, Path] = {}
    for file in files:
        what = claim.what(file.environment)
        other = first.setdefault(what, file.path) if what else file.path
        if other != file.path:
            position = sources[str(file.path)].value(claim.path)
            theirs = sources[str(other)].value(claim.path)
            # What comes from the defaults stands in no line of the file itself.
            there = f"{other}:{theirs.line}" if theirs.path == str(other) else str(other)
            value = claim.mark(file.environment)
            yield position.fault(claim.message.format(value=value, there=there))


def _rivals(file: EnvironmentFile, folder: Path) -> Iterator[Fault]:
    """Find the other files of a folder that claim what this one does.

    Only those that name it at all, or have it from their defaults, are loaded: a folder of 1,000
    files takes no seconds.
    """
    beside = list(_files_in([folder], []))
    yield from _same_name(p for p in beside if p.stem.lower() == file.name)
    marks = [mark for claim in _CLAIMS if (mark := claim.mark(file.environment))]
    if not file.environment.protected:
        marks += [
            name for found in _sops_files(file) for name in (found.path.name, found.real.name)
        ]
    by_default = any(_names(folder / DEFAULTS, mark) for mark in marks)
    naming = [
        path
        for path in beside
        if path != file.path and (by_default or any(_names(path, mark) for mark in marks))
    ]
    files, sources, _ = _load([file.path, *naming])
    for claim in _CLAIMS:
        what = claim.what(file.environment)
        same = [found for found in files if claim.what(found.environment) == what]
        yield from _shared(claim, same, sources)
    yield from _opened(files[0], files[1:], sources) if files else ()


def _opened(
    file: EnvironmentFile, others: Sequence[EnvironmentFile], sources: dict[str, Source]
) -> Iterator[Fault]:
    """Find the SOPS files of protected environments that a file without a code owner names.

    Its server would get their values, where one key opens both, and its image is anybody's.
    """
    if file.environment.protected:
        return
    owned = {
        found.real: other.path
        for other in others
        if other.environment.protected and other.path.parent == file.path.parent
        for found in _sops_files(other)
    }
    for found in _sops_files(file):
        if other := owned.get(found.real):
            position = sources[str(file.path)].value(("secrets", found.index, "from", "sops"))
            yield position.fault(
                f"{found.name} has the secrets of {other}, which is protected, and {file.name} is "
                f"not; give {file.name} a file of its own with a key of its own, such as "
                f"{file.name}.sops.yaml"
            )


@dataclass(frozen=True)
class _SopsFile:
    """A SOPS file that a secret names, and where it really is."""

    index: int
    name: str
    path: Path
    real: Path


def _sops_files(file: EnvironmentFile) -> Iterator[_SopsFile]:
    for index, secret in enumerate(file.environment.secrets):
        if name := secret.source.sops:
            path = file.repository / name
            yield _SopsFile(index, name, path, path.resolve())


def _names(path: Path, app: str) -> bool:
    try:
        return app.encode() in _content(path)
    except OSError:
        return False


def _unknown(name: str, folder: Path) -> UnknownEnvironmentError:
    known = sorted(_by_name(folder))
    close = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {close[0]}? " if close else ""
    listed = ", ".join(known) or "none yet"
    return UnknownEnvironmentError(
        f"There is no environment {name!r} in {folder}.", advice=f"{advice}There are: {listed}."
    )
