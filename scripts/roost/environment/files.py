"""Find environment files in folders and read them; each is read to a limit of size."""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from roost.environment.flow_server import FlowServer
from roost.environment.model import Environment
from roost.environment.prefect_objects import ObjectsFile
from roost.environment.redis import Redis
from roost.environment.sops_file import leads_out, repository_of
from roost.environment.waker import Waker
from roost.environment.yaml_source import MAX_BYTES, Source, read_source
from roost.errors import Fault

SUFFIXES = (".yaml", ".yml")
DEFAULTS = "_defaults.yaml"
SEARCH_LEVELS = 3
"""How many levels of folders below the one for environments are searched for misplaced files."""
_ENVIRONMENT = re.compile(rb"^(app|prefect)\s*:", re.MULTILINE)
_MISPLACED = (
    "is in the folder {folder}, but environments are read only from files directly in the "
    "environments folder; move it there"
)


@dataclass(frozen=True)
class FlowUnit:
    """A flow server of an environment: its entry in the file, and the environment of its server."""

    entry: FlowServer
    server: Environment


@dataclass(frozen=True)
class WakerUnit:
    """The waker that an environment deploys: its section, and the environment."""

    entry: Waker
    server: Environment


@dataclass(frozen=True)
class RedisUnit:
    """The Redis that Roost deploys for a server: its section, and the environment of the server."""

    entry: Redis
    server: Environment


@dataclass(frozen=True)
class EnvironmentFile:
    """One environment, or what stands beside its server, in the form of an environment.

    Args:
        name: that of the file without the suffix; of what stands beside it, `ENVIRONMENT.NAME`.
        path: the file.
        environment: what the file says; of what stands beside the server, what it says of its app.
        beside: the flow server, the waker or the Redis; None for the environment's own server.
        objects: Prefect's objects that the server must have; None if the file names none.
    """

    name: str
    path: Path
    environment: Environment
    beside: FlowUnit | WakerUnit | RedisUnit | None = None
    objects: ObjectsFile | None = None

    @property
    def flow(self) -> FlowUnit | None:
        """The flow server, if this is one."""
        return self.beside if isinstance(self.beside, FlowUnit) else None

    @property
    def waker(self) -> WakerUnit | None:
        """The waker, if this is one."""
        return self.beside if isinstance(self.beside, WakerUnit) else None

    @property
    def redis(self) -> RedisUnit | None:
        """The Redis that Roost deploys, if this is one."""
        return self.beside if isinstance(self.beside, RedisUnit) else None

    @property
    def server(self) -> Environment:
        """What the file says of its Prefect server, whatever this stands for."""
        return self.beside.server if self.beside else self.environment

    @property
    def repository(self) -> Path:
        """The folder to which the paths of SOPS files are relative."""
        return repository_of(self.path)


def read_file(path: Path) -> Source:
    """Read and parse one file; a file that cannot be read is a fault of the source."""
    try:
        content = read_content(path)
    except OSError as error:
        return Source(str(path), {}, faults=(_unreadable(path, error),))
    return read_source(str(path), content)


def read_defaults(folder: Path) -> Source:
    """Read the defaults of a folder; without a file for them, they are empty."""
    path = folder / DEFAULTS
    return read_file(path) if mode_of(path) else Source(str(path), {})


def read_content(path: Path) -> bytes:
    """Return the content of a file, at most one byte more than an environment may have.

    Raises:
        OSError: it is not there, cannot be read, is no file, or is a link out of the repository.
    """
    mode = path.stat().st_mode
    if path.is_symlink() and leads_out(path, repository_of(path)):
        # Workflows read the file where tokens are within reach, and show lines of it in messages.
        raise OSError(errno.EINVAL, "A link out of the repository; put the file itself here")
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # open() refuses a folder by itself
        raise OSError(errno.EINVAL, "Not a file; a pipe or a device may have no end")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def files_in(paths: Iterable[Path], faults: list[Fault]) -> Iterator[Path]:
    """Return the environment files among paths and in folders; `faults` collects what is unreadable."""
    for path in paths:
        if stat.S_ISDIR(mode_of(path)):
            try:
                entries = sorted(entry for entry in path.iterdir() if entry.suffix in SUFFIXES)
            except OSError as error:
                faults.append(_unreadable(path, error))
                continue
            yield from (entry for entry in entries if not entry.name.startswith("_"))
        elif path.name == DEFAULTS:
            faults.extend(read_file(path).faults)
        else:
            yield path


def files_by_name(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by the name of their environment; NAME.yaml before NAME.yml."""
    found = list(files_in([folder], [])) if stat.S_ISDIR(mode_of(folder)) else []
    return {path.stem: path for path in reversed(found)}


def misplaced_files(folder: Path, levels: int = SEARCH_LEVELS) -> Iterator[Fault]:
    """Find files in subfolders that look like environments: they would silently be ignored."""
    for below in _folders_in(folder):
        for path in _entries(below):
            if path.suffix in SUFFIXES and _looks_like_environment(path):
                yield Fault(str(path), 1, 1, _MISPLACED.format(folder=below.name))
        if levels > 1:
            yield from misplaced_files(below, levels - 1)


def mode_of(path: Path) -> int:
    """Return the mode of a path, 0 where nothing is there; `Path.is_dir` may raise instead."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _unreadable(path: Path, error: OSError) -> Fault:
    reason = (error.strerror or "no reason given").lower()
    return Fault(str(path), 1, 1, f"cannot be read: {reason}")


def _folders_in(folder: Path) -> list[Path]:
    # Links are not followed: one may lead back up.
    return [path for path in _entries(folder) if path.is_dir() and not path.is_symlink()]


def _entries(folder: Path) -> list[Path]:
    """List a folder without hidden names; an unreadable folder is empty."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    except OSError:
        return []


def _looks_like_environment(path: Path) -> bool:
    try:
        return bool(_ENVIRONMENT.search(read_content(path)))
    except OSError:
        return False
