"""The dumps of a Postgres database: files in a folder or objects in a bucket, each whole or not there.

A dump is written to a file under another name, checked, and kept last. Beside it is a document with the
number of rows of each table at the moment of the dump, with which a restore is compared.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from roost.errors import DumpError
from roost.operations.context import Context

SUFFIX = ".dump"
DOCUMENT = ".json"
"""What the name of a dump's document ends with, after the name of the dump."""
STALE_S = 86_400
"""A part that was not written to for so many seconds is that of a backup that was killed."""
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Dump:
    """A whole dump.

    Args:
        name: its file name without the folder.
        at: when it was made, in UTC, as ISO 8601.
        size: of the file, in bytes.
        sha256: of the file.
        major: the major version of the pg_dump that wrote it.
        server: the server's version.
        schema: the schema of Prefect's tables.
        extension: the schema of `pg_trgm`.
        rows: the number of rows of each table.
    """

    name: str
    at: str
    size: int
    sha256: str
    major: int
    server: str
    schema: str
    extension: str
    rows: Mapping[str, int]

    @property
    def count(self) -> int:
        """All rows."""
        return sum(self.rows.values())


class DumpStore(Protocol):
    """Where the dumps of one environment are kept."""

    @property
    def where(self) -> str:
        """The place, for people."""

    async def dumps(self) -> tuple[Dump, ...]:
        """Return the whole dumps, the newest first."""

    async def keep(self, part: Path, dump: Dump) -> str:
        """Keep a checked file as a dump, and return where it is; the file has no use afterwards."""

    def fetched(self, dump: Dump) -> AbstractAsyncContextManager[Path]:
        """Yield the path of a file with the dump, whose content is not checked."""

    async def prune(self, now: datetime) -> tuple[str, ...]:
        """Remove the dumps that are kept long enough, and return their names."""


@dataclass(frozen=True)
class DumpFolder:
    """The dumps in a folder of this computer; none is ever removed."""

    folder: Path

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.folder)

    async def dumps(self) -> tuple[Dump, ...]:
        """Return the whole dumps, the newest first."""
        return list_dumps(self.folder)

    async def keep(self, part: Path, dump: Dump) -> str:
        """Give a file of this folder its name."""
        finish(part, dump)
        return str(self.folder / dump.name)

    @asynccontextmanager
    async def fetched(self, dump: Dump) -> AsyncIterator[Path]:
        """Yield the path of the dump itself."""
        yield self.folder / dump.name

    async def prune(self, now: datetime) -> tuple[str, ...]:  # noqa: ARG002 - of the protocol
        """Remove nothing: a person who names a folder keeps it."""
        return ()


def dump_folder(context: Context, environment: str) -> Path:
    """Return the folder of an environment's dumps: in ROOST_BACKUPS, or below RUN_STATE."""
    state = context.environ.get("RUN_STATE") or context.project / ".run"
    return Path(context.environ.get("ROOST_BACKUPS") or Path(state) / "backups") / environment


def begin_part(folder: Path, name: str, environment: str) -> Path:
    """Create the file that a dump is written to until it is whole; only its owner can read it.

    Raises:
        DumpError: another backup writes it now.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _part(folder, name)
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise DumpError(
            f"Another backup of this second writes {path}.",
            where=environment,
            advice="Wait for it.",
        ) from None
    return path


def remove_stale_parts(folder: Path, now: float) -> None:
    """Remove what killed backups left, which may hold every row; `now` is in seconds since 1970."""
    for path in folder.glob(_part(folder, "*").name):
        if now - path.stat().st_mtime > STALE_S:
            path.unlink(missing_ok=True)


def _part(folder: Path, name: str) -> Path:
    return folder / f".{name}.part"


def finish(part: Path, dump: Dump) -> None:
    """Give a checked dump its name; the document comes first, so that the name means that both are there."""
    folder = part.parent
    document = _part(folder, f"{dump.name}{DOCUMENT}")
    document.touch(mode=0o600)
    document.write_text(document_of(dump), encoding="utf-8")
    for path in (document, part):
        with path.open("rb") as opened:
            os.fsync(opened.fileno())
    document.replace(folder / f"{dump.name}{DOCUMENT}")
    part.replace(folder / dump.name)


def list_dumps(folder: Path) -> tuple[Dump, ...]:
    """Return the whole dumps of a folder, the newest first."""
    found = (_read(path) for path in folder.glob(f"*{SUFFIX}"))
    return tuple(sorted((d for d in found if d), key=lambda dump: dump.at, reverse=True))


def _read(path: Path) -> Dump | None:
    try:
        text = path.with_name(f"{path.name}{DOCUMENT}").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    return read_document(path.name, text)


def document_of(dump: Dump) -> str:
    """Return the document that stands beside a dump."""
    return json.dumps(asdict(dump), indent=2) + "\n"


def read_document(name: str, text: str | bytes) -> Dump | None:
    """Return the dump of a name that its document describes; None if it is no such document."""
    try:
        return Dump(**{**json.loads(text), "name": name})
    except (ValueError, TypeError):
        return None


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
