"""A cache of folders: each entry is created once, and is visible only when it is complete.

Entries are created in place instead of moved, because scripts and bytecode contain their path.
A marker file, written last, distinguishes a complete entry from one of a killed process.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

_MARK = ".complete"
_POLL_S = 0.1


class Cache:
    """The entries below one folder, which several processes may share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, kind: str, key: str) -> Path | None:
        """Return the path of a complete entry; None if there is none."""
        entry = self._path(kind, key)
        return entry if (entry / _MARK).exists() else None

    async def get(
        self, kind: str, key: str, make: Callable[[Path], Awaitable[None]]
    ) -> tuple[Path, bool]:
        """Return an entry, and whether it existed; `make` fills its folder if it did not.

        If `make` fails in any way, the entry is deleted.
        """
        async with self.lock(f"{kind}-{key}"):
            if found := self.find(kind, key):
                return found, True
            entry = self._path(kind, key)
            await asyncio.to_thread(shutil.rmtree, entry, ignore_errors=True)
            entry.parent.mkdir(parents=True, exist_ok=True)
            try:
                await make(entry)
                (entry / _MARK).touch()
            except BaseException:
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, entry, ignore_errors=True))
                raise
            return entry, False

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        """Hold a lock among all processes; the kernel releases it if a process is killed."""
        path = self.folder / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            while not _try_lock(file.fileno()):  # noqa: ASYNC110 - another process has the lock
                await asyncio.sleep(_POLL_S)
            yield

    def read(self, name: str) -> dict[str, Any]:
        """Return a JSON object stored beside the entries; an absent one is empty."""
        try:
            document: dict[str, Any] = json.loads((self.folder / name).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return document

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Replace a JSON object atomically: a reader sees the old one or the new one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{name}-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / name)  # noqa: PTH105 - both are paths of one folder

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
