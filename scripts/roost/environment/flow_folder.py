"""The folder of a flow server: its code and its lock, read as data. Nothing of it is imported or run."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roost.environment.sops_file import leads_out, real_path

LOCK = "requirements.txt"
MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_BYTES = 50 * 1024 * 1024
MAX_FILES = 2000
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "venv"})
_PREFECT = re.compile(
    r"^prefect(?:-client)?(?:\[[a-z0-9,_-]*\])?==(\d+\.\d+\.\d+)\b", re.MULTILINE | re.ASCII
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
_ADDRESS = re.compile(
    r"^\s*(-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host|-e|--editable)\b",
    re.MULTILINE,
)


class FlowFolderError(Exception):
    """A folder cannot be used; the text is the rest of a sentence that begins with its path."""


@dataclass(frozen=True)
class FlowFolder:
    """The content of a flow server's folder.

    Args:
        lock: the bytes of requirements.txt.
        prefect: the version of Prefect in the lock.
        files: the other files with their content, by their path in the folder, sorted.
    """

    lock: bytes
    prefect: str
    files: tuple[tuple[str, bytes], ...]


def check_flow_folder(repository: Path, path: str) -> str:
    """Check a folder and its lock, and return the version of Prefect in the lock.

    Raises:
        FlowFolderError: the folder or its lock cannot be used.
    """
    return _lock_version(_lock(_folder(repository, path)))


def read_flow_folder(repository: Path, path: str) -> FlowFolder:
    """Read a folder: every file but hidden ones, caches and virtual environments.

    Raises:
        FlowFolderError: it is missing, outside of the repository, too large, or has a link out.
    """
    folder = _folder(repository, path)
    lock = _lock(folder)
    files: list[tuple[str, bytes]] = []
    total = 0
    for found in sorted(_files(folder)):
        content = _read(found, folder)
        total += len(content)
        if total > MAX_BYTES or len(files) >= MAX_FILES:
            raise FlowFolderError(
                f"has more than {MAX_FILES} files or {MAX_BYTES // 2**20} MB; keep data out of it"
            )
        files.append((found.relative_to(folder).as_posix(), content))
    return FlowFolder(lock, _lock_version(lock), tuple(files))


def _folder(repository: Path, path: str) -> Path:
    folder = repository / path
    if leads_out(folder, repository):
        raise FlowFolderError("leads out of the repository; name a folder in it")
    if not folder.is_dir():
        raise FlowFolderError("is no folder of this repository; create it, or correct the path")
    if real_path(folder) != real_path(repository) / path:
        raise FlowFolderError("leads through a link; name the folder itself")
    return folder


def _lock(folder: Path) -> bytes:
    path = folder / LOCK
    if not path.is_file():
        raise FlowFolderError(f"has no {LOCK}; write it: `./run lock --flows {folder.name}`")
    return _read(path, folder)


def _lock_version(lock: bytes) -> str:
    """Return the version of Prefect in a lock.

    Raises:
        FlowFolderError: it has no Prefect, no hashes, or names an index.
    """
    text = lock.decode("utf-8", errors="replace")
    if found := _ADDRESS.search(text):
        raise FlowFolderError(
            f"has {found[1]} in {LOCK}, and an image is built from the public index alone; remove it"
        )
    version = _PREFECT.search(text)
    if version is None:
        raise FlowFolderError(
            f"has no prefect==VERSION in {LOCK}; add prefect to requirements.in and lock it again"
        )
    if not _HASH.search(text):
        raise FlowFolderError(f"has no hashes in {LOCK}; write it with `./run lock --flows`")
    return version[1]


def _files(folder: Path) -> Iterator[Path]:
    """Find the files to copy; each folder is listed once, at any depth.

    A link must stay in the folder: a change of a file elsewhere would be no change of the flow server,
    and would need the review of that other place alone.
    """
    folders = [folder]
    while folders:
        for path in sorted(_entries(folders.pop())):
            if path.name.startswith(".") or path.name in _LEFT_OUT or path.suffix == ".pyc":
                continue
            if not path.name.isprintable():
                raise FlowFolderError(
                    f"has a file with an unreadable name, {path.name!a}; rename it"
                )
            if not path.is_dir():
                yield path
            elif path.is_symlink():
                raise FlowFolderError(
                    f"has the link {path.name} to a folder; put the files themselves here"
                )
            else:
                folders.append(path)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise FlowFolderError(f"has {folder.name}, which cannot be read; check it") from error


def _read(path: Path, folder: Path) -> bytes:
    """Read a file of the folder, or one to which a link in it leads.

    Raises:
        FlowFolderError: it is no file, too large, cannot be read, or a link leads out of the folder.
    """
    if path.is_symlink() and not real_path(path).is_relative_to(real_path(folder)):
        raise FlowFolderError(
            f"has the link {path.name} out of the folder; put the file itself here, or name a folder "
            "above both as the path"
        )
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise FlowFolderError(f"has {path.name}, which is not a file; remove it")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FlowFolderError(f"has {path.name}, which cannot be read; check it") from error
    if len(content) > MAX_FILE_BYTES:
        raise FlowFolderError(
            f"has {path.name}, which is larger than {MAX_FILE_BYTES // 2**20} MB; keep data out of it"
        )
    return content
