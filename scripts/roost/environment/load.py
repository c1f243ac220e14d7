"""Load environment files: read them, merge the defaults in, and report every fault at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from roost.environment import messages
from roost.environment.conflicts import conflicts, conflicts_with, possible_rivals, same_names
from roost.environment.files import (
    DEFAULTS,
    SUFFIXES,
    EnvironmentFile,
    files_by_name,
    files_in,
    misplaced_files,
    read_defaults,
    read_file,
)
from roost.environment.flow_folder import FlowFolderError, check_flow_folder
from roost.environment.flow_rules import all_findings
from roost.environment.flow_units import SEPARATOR, split_name
from roost.environment.model import Environment, expand_drift
from roost.environment.names import name_fault
from roost.environment.objects_file import ObjectsFileError, read_objects_file
from roost.environment.prefect_objects import ObjectsFile
from roost.environment.prefect_settings import deploy_of, settings_of, version_fault
from roost.environment.redis import NAME as REDIS
from roost.environment.schema import disagreements
from roost.environment.server_lock import environment_lock_fault
from roost.environment.settings_rules import settings_findings
from roost.environment.sops_file import (
    SopsFile,
    SopsFileError,
    read_sops_file,
    repository_of,
    sops_path,
)
from roost.environment.units import beside
from roost.environment.waker import NAME as WAKER
from roost.environment.waker_hosts import waker_faults
from roost.environment.yaml_source import Source, printable
from roost.errors import Fault, InvalidFilesError, UnknownEnvironmentError

# Other rooms import what they need to load an environment from here.
__all__ = [
    "DEFAULTS",
    "SUFFIXES",
    "EnvironmentFile",
    "Loaded",
    "check",
    "environment_names",
    "load_alone",
    "load_environment",
    "load_file",
    "load_files",
    "load_unit",
    "merge_defaults",
]


_CALLED = {WAKER: "waker", REDIS: "Redis"}
"""What stands beside a server and is no flow server, for people."""


@dataclass(frozen=True)
class Loaded:
    """The valid files of a set of paths, and every fault of the others."""

    files: tuple[EnvironmentFile, ...]
    faults: tuple[Fault, ...]


def load_files(paths: Sequence[Path]) -> Loaded:
    """Load files, and the environment files of folders; faults are returned, never raised."""
    files, sources, faults = _load(paths)
    faults.extend(conflicts(files, sources))
    faults.extend(same_names(files_in(paths, [])))
    faults.extend(waker_faults(files, sources, _sibling))
    faults.extend(fault for path in paths for fault in misplaced_files(path))
    return Loaded(tuple(files), tuple(sorted(set(faults))))


def load_environment(name: str, folder: Path) -> EnvironmentFile:
    """Load one environment by its name.

    Raises:
        UnknownEnvironmentError: no file has that name; the error lists those that exist.
        InvalidFilesError: the file, or the defaults beside it, has faults, or it conflicts with
            another file of the folder.
    """
    path = files_by_name(folder).get(name)
    if path is None:
        raise _unknown(name, folder)
    loaded = load_files([path])
    faults = loaded.faults or tuple(_conflicts_in(folder, loaded.files[0]))
    if faults:
        raise InvalidFilesError(faults)
    return loaded.files[0]


def load_alone(name: str, folder: Path) -> EnvironmentFile:
    """Load one environment without what it needs beside it, such as the lock that is to be written.

    Raises:
        UnknownEnvironmentError: no file has that name; the error lists those that exist.
        InvalidFilesError: the file itself, or the defaults beside it, has faults.
    """
    path = files_by_name(folder).get(name)
    if path is None:
        raise _unknown(name, folder)
    own, defaults = read_file(path), read_defaults(folder)
    if own.faults or defaults.faults:
        raise InvalidFilesError((*own.faults, *defaults.faults))
    environment, faults = check(merge_defaults(own, defaults))
    if environment is None or faults:
        raise InvalidFilesError(tuple(faults))
    return EnvironmentFile(name, path, environment)


def load_unit(name: str, folder: Path) -> EnvironmentFile:
    """Load an environment, or what stands beside its server by `ENVIRONMENT.NAME`.

    Raises:
        UnknownEnvironmentError: there is none of that name; the error lists those that exist.
        InvalidFilesError: see `load_environment`.
    """
    environment, part = split_name(name)
    file = load_environment(environment, folder)
    if not part:
        return file
    found = {unit.name: unit for unit in beside(file)}
    if name not in found:
        if part == WAKER and (waker := file.environment.waker):
            raise UnknownEnvironmentError(
                f"The waker {waker.app} is deployed by another environment.",
                advice=f"Name that one: {waker.deployed_by}{SEPARATOR}{WAKER}.",
            )
        what = _CALLED.get(part, f"flow server {part!r}")
        raise UnknownEnvironmentError(
            f"The environment {file.name} has no {what}.",
            advice=f"There are: {', '.join(found) or 'none yet'}.",
        )
    return found[name]


def environment_names(folder: Path) -> frozenset[str]:
    """Return the names of the environments that have a file, valid or not."""
    return frozenset(files_by_name(folder))


def load_file(path: Path, defaults: Source) -> tuple[EnvironmentFile | None, Source, list[Fault]]:
    """Load one file with its defaults merged in.

    Returns:
        The environment, None when the file has faults; what it was read from; and its faults.
    """
    own = read_file(path)
    if own.faults or defaults.faults:  # a field that broken defaults miss is no fault of this file
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
        faults.extend(_extras_faults(environment, source, path))
        faults.extend(_flow_faults(environment, source, repository_of(path)))
    objects = None
    if environment:
        objects, found = _objects(environment, source, repository_of(path))
        faults.extend(found)
    if environment is None or faults:
        return None, source, faults
    return EnvironmentFile(name, path, environment, objects=objects), source, []


def check(source: Source) -> tuple[Environment | None, list[Fault]]:
    """Validate data against the model, then the rules, then the schema."""
    data = {key: value for key, value in source.data.items() if not key.startswith("x-")}
    try:
        environment = Environment.model_validate(data)
    except ValidationError as error:
        return None, [_fault(source, detail) for detail in error.errors(include_url=False)]
    found = all_findings(environment)
    faults = [source.value(path).fault(message) for path, message in found]
    if not faults:
        # The schema is what editors check with: it must accept what the model accepts.
        faults = [
            source.value(path).fault(
                f"the schema disagrees with the model ({message}); please report this"
            )
            for path, message in disagreements(data)
        ]
    return environment, faults


def merge_defaults(own: Source, defaults: Source) -> Source:
    """Merge a file over its defaults, one level deep: mappings key by key, anything else whole.

    The defaults' `database` is left out where the file names another backend: their fields would
    not fit it.
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


def _load(
    paths: Sequence[Path],
) -> tuple[list[EnvironmentFile], dict[str, Source], list[Fault]]:
    """Load each file by itself: the valid ones, their sources by path, and the other files' faults."""
    files: list[EnvironmentFile] = []
    faults: list[Fault] = []
    defaults: dict[Path, Source] = {}
    sources: dict[str, Source] = {}
    for path in files_in(paths, faults):
        if path.parent not in defaults:
            defaults[path.parent] = read_defaults(path.parent)
            faults.extend(defaults[path.parent].faults)
        loaded, source, found = load_file(path, defaults[path.parent])
        faults.extend(found)
        if loaded:
            files.append(loaded)
            sources[str(path)] = source
    return files, sources, faults


def _sibling(file: EnvironmentFile, name: str) -> EnvironmentFile | Path | None:
    """Return another environment of a file's folder: its path if it has faults, None without a file."""
    path = files_by_name(file.path.parent).get(name)
    if path is None:
        return None
    files, _, _ = _load([path])
    return files[0] if files else path


def _conflicts_in(folder: Path, file: EnvironmentFile) -> Iterator[Fault]:
    """Find the conflicts of one file with the others of its folder."""
    siblings = files_in([folder], [])
    yield from same_names(path for path in siblings if path.stem.lower() == file.name)
    files, sources, _ = _load([file.path, *possible_rivals(file, folder)])
    if files:
        yield from conflicts_with(files[0], files[1:], sources)


def _sops_faults(environment: Environment, source: Source, repository: Path) -> Iterator[Fault]:
    """Check each SOPS file that is named, as far as is possible without its key."""
    known: dict[str, SopsFile | str] = {}
    for place, secret in environment.all_secrets:
        name = secret.source.sops
        if not name:
            continue
        if name not in known:
            known[name] = _read_sops(repository, name)
        file = known[name]
        message = file if isinstance(file, str) else file.fault(secret.name)
        if message:
            yield source.value((*place, "from", "sops")).fault(f"{name} {message}")


def _read_sops(repository: Path, name: str) -> SopsFile | str:
    """Return the file, or the message that says why it cannot be used."""
    try:
        return read_sops_file(sops_path(repository, name))
    except SopsFileError as error:
        return str(error)


def _prefect_faults(environment: Environment, source: Source, deploy: Path) -> Iterator[Fault]:
    """Check the file against its version of Prefect: is it locked, and does it have the settings."""
    prefect = environment.prefect
    if prefect.image is None and (message := version_fault(prefect.version, deploy)):
        yield source.value(("prefect", "version")).fault(message)
    known = settings_of(deploy, prefect.version)
    for path, message in settings_findings(environment, known):
        yield source.value(path).fault(message)


def _extras_faults(environment: Environment, source: Source, path: Path) -> Iterator[Fault]:
    """Check the lock of a server with extra packages against the file."""
    if message := environment_lock_fault(environment, path, deploy_of(path)):
        yield source.value(("prefect", "extras")).fault(message)


def _flow_faults(environment: Environment, source: Source, repository: Path) -> Iterator[Fault]:
    """Check the folder of each flow server, and that its Prefect works with the server's."""
    server = _numbers(environment.prefect.version)
    for index, entry in enumerate(environment.flows):
        place = source.value(("flows", index, "path"))
        try:
            version = check_flow_folder(repository, entry.path)
        except FlowFolderError as error:
            yield place.fault(f"{entry.path} {error}")
            continue
        client = _numbers(version)
        if client[0] != server[0] or client > server:
            yield place.fault(
                f"{entry.path} locks Prefect {version}, and the server runs "
                f"{environment.prefect.version}: a client must not be newer; change "
                "requirements.in and lock it again, or upgrade the server first"
            )


def _objects(
    environment: Environment, source: Source, repository: Path
) -> tuple[ObjectsFile | None, list[Fault]]:
    """Read the file of Prefect's objects, if the environment names one."""
    prefect = environment.prefect
    if prefect.objects is None:
        return None, []
    try:
        names = [secret.name for secret in prefect.object_secrets]
        return read_objects_file(repository, prefect.objects, names), []
    except ObjectsFileError as error:
        place = source.value(("prefect", "objects"))
        return None, [place.fault(f"{prefect.objects} {error}")]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _is_another(key: str, here: dict[Any, Any], below: dict[Any, Any]) -> bool:
    """Return whether the file's section has another kind than that of the defaults."""
    return key == "database" and here.get("backend", below.get("backend")) != below.get("backend")


def _fault(source: Source, detail: Any) -> Fault:
    """Turn one of pydantic's errors into a fault at its place in the file."""
    path = messages.field_path(detail)
    unknown = detail["type"] == "extra_forbidden"
    position = source.key(path) if unknown else source.value(path)
    return position.fault(messages.message(detail, path))


def _unknown(name: str, folder: Path) -> UnknownEnvironmentError:
    environment, part = split_name(name)
    known = sorted(files_by_name(folder))
    if part and environment in known:
        what = f"the {_CALLED[part]}" if part in _CALLED else "a flow server"
        return UnknownEnvironmentError(
            f"{name} is {what}, and this command is for Prefect servers.",
            advice=f"Name the environment: {environment}.",
        )
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    listed = ", ".join(known) or "none yet"
    return UnknownEnvironmentError(
        f"There is no environment {name!r} in {folder}.", advice=f"{hint}There are: {listed}."
    )
