"""Keep a way back while a newer Prefect migrates the database.

Before the first migration the database is copied on the volume, and a note records that. While the
note exists, the server is in maintenance mode (see `maintenance_mode`), so a rollback loses no
client's work: the previous image, started on that volume, restores the copy.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from roost_server.errors import BootError
from roost_server.seed_database import flush, revision
from roost_server.settings import DATABASE, baked_folder, home_folder, uses_sqlite_file

NOTE = "upgrade.json"
COPY = "before-upgrade.db"
FAILED = "failed-upgrade.db"
REVISIONS = "revisions.json"
SUFFIXES = ("-wal", "-shm", "")  # the database last: without it, the next start restores again
ROOM = 1.1  # the free space that the copy needs, as a multiple of the database's size


@dataclass(frozen=True)
class Note:
    """An upgrade that is not proved: the previous revision, and its start in s since 1970."""

    came_from: str
    began: float


def guard_upgrade(environ: Mapping[str, str], now: float) -> None:
    """Copy the database before a migration, or restore the copy after a failed upgrade.

    Raises:
        BootError: a newer Prefect migrated the database for good, or the volume has no room for a
            copy.
    """
    seed_file = baked_folder(environ) / DATABASE
    if not seed_file.exists() or not uses_sqlite_file(environ):
        return
    home, brought = home_folder(environ), revision(seed_file)
    note = read_note(home)
    if note and (note.came_from == brought or not (home / DATABASE).exists()):
        restore_copy(home)
        note = None
    stands_at = revision(home / DATABASE)
    if not stands_at or stands_at == brought:
        return
    if stands_at not in known_revisions(environ):
        raise BootError(
            f"a newer Prefect has migrated the database (to {stands_at}), and this one cannot read "
            "it; set prefect.version back to the newer one, or restore a snapshot from before"
        )
    if note is None:
        copy_before_upgrade(home)
        write_note(home, Note(stands_at, now))


def known_revisions(environ: Mapping[str, str]) -> frozenset[str]:
    """Return every schema revision that this image's Prefect can migrate from."""
    text = (baked_folder(environ) / REVISIONS).read_text(encoding="utf-8")
    return frozenset(json.loads(text))


def read_note(home: Path) -> Note | None:
    """Return the note of an upgrade; None if there is none, or if its copy is missing."""
    if not (home / COPY).exists():
        return None
    try:
        return Note(**json.loads((home / NOTE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_note(home: Path, note: Note) -> None:
    """Write the note, whole or not at all."""
    aside = home / f"{NOTE}.new"
    aside.write_text(json.dumps(asdict(note)), encoding="utf-8")
    flush(aside)
    aside.replace(home / NOTE)
    flush(home)


def copy_before_upgrade(home: Path) -> None:
    """Copy the database as of now, including its write-ahead log.

    Raises:
        BootError: the volume has no room for it.
    """
    database, aside = home / DATABASE, home / f"{COPY}.new"
    aside.unlink(missing_ok=True)
    check_room(home)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(aside)) as target:
        source.backup(target)
    flush(aside)
    aside.replace(home / COPY)
    flush(home)


def check_room(home: Path) -> None:
    """Check that the volume has room for the copy.

    Raises:
        BootError: it has not.
    """
    files = [home / f"{DATABASE}{end}" for end in SUFFIXES]
    needed = ROOM * sum(path.stat().st_size for path in files if path.exists())
    free = shutil.disk_usage(home).free
    if free < needed:
        raise BootError(
            f"before an upgrade the database is copied, and the volume has {free / 1e6:.0f} MB "
            f"for {needed / 1e6:.0f} MB; raise database.volume_gb and apply, then upgrade"
        )


def restore_copy(home: Path) -> None:
    """Replace the migrated database by the copy; the migrated one is kept under another name."""
    for end in SUFFIXES:
        (home / f"{FAILED}{end}").unlink(missing_ok=True)
        if (home / f"{DATABASE}{end}").exists():
            (home / f"{DATABASE}{end}").replace(home / f"{FAILED}{end}")
    flush(home)
    (home / COPY).replace(home / DATABASE)
    flush(home)
    (home / NOTE).unlink(missing_ok=True)
    print("roost: the upgrade was rolled back to the database from before it", flush=True)


def finish_upgrade(home: Path) -> None:
    """Make an upgrade final: delete its note and the copy."""
    (home / NOTE).unlink(missing_ok=True)
    flush(home)
    for name in (COPY, *(f"{FAILED}{end}" for end in SUFFIXES)):
        (home / name).unlink(missing_ok=True)
