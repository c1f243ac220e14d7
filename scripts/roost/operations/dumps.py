"""The dumps of a Postgres database: files in a folder, each whole or not there.

A dump is written under another name, checked, and renamed last. Beside it is a document with the number
of rows of each table at the moment of the dump, with which a restore is compared.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from roost.errors import DumpError
from roost.operations.context import Context

SUFFIX = ".dump"
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


def finish(folder: Path, dump: Dump) -> None:
    """Give a checked dump its name; the document comes first, so that the name means that both are there."""
    part, document = _part(folder, dump.name), _part(folder, f"{dump.name}.json")
    document.touch(mode=0o600)
    document.write_text(json.dumps(asdict(dump), indent=2) + "\n", encoding="utf-8")
    for path in (document, part):
        with path.open("rb") as opened:
            os.fsync(opened.fileno())
    document.replace(folder / f"{dump.name}.json")
    part.replace(folder / dump.name)


def list_dumps(folder: Path) -> tuple[Dump, ...]:
    """Return the whole dumps of a folder, the newest first."""
    found = (_read(path) for path in folder.glob(f"*{SUFFIX}"))
    return tuple(sorted((d for d in found if d), key=lambda dump: dump.at, reverse=True))


def _read(path: Path) -> Dump | None:
    try:
        fields = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
        return Dump(**{**fields, "name": path.name})
    except (OSError, ValueError, TypeError):
        return None


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
