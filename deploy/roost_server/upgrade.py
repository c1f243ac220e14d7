"""Keep the way back open while a newer Prefect migrates the database.

Before its first migration the database is copied beside itself, and a note says so. While the note
stands nobody's work is taken (see `maintenance`), so going back loses none: the image of before,
started on that volume, puts the copy in its place.
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
ENDS = ("-wal", "-shm", "")  # the database itself last: without it, the next start begins anew
ROOM = 1.1  # times the size of the database, for its copy


@dataclass(frozen=True)
class Note:
    """An upgrade that is not proved yet: the revision of before, and when it began, in s of 1970."""

    came_from: str
    began: float


def guard_upgrade(environ: Mapping[str, str], now: float) -> None:
    """Copy the database before it is migrated, or put the copy back after an upgrade that failed.

    Raises:
        BootError: a newer Prefect has migrated it for good, or the volume has no room for a copy.
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
    """Return the note of an upgrade whose copy is there; without its copy it means nothing."""
    if not (home / COPY).exists():
        return None
    try:
        return Note(**json.loads((home / NOTE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_note(home: Path, note: Note) -> None:
    """Write it whole or not at all."""
    aside = home / f"{NOTE}.new"
    aside.write_text(json.dumps(asdict(note)), encoding="utf-8")
    flush(aside)
    aside.replace(home / NOTE)
    flush(home)


def copy_before_upgrade(home: Path) -> None:
    """Copy the database as of this moment, its write-ahead log included.

    Raises:
        BootError: there is no room for it.
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
    """Refuse to migrate without a way back.

    Raises:
        BootError: the volume is too full.
    """
    files = [home / f"{DATABASE}{end}" for end in ENDS]
    needed = ROOM * sum(path.stat().st_size for path in files if path.exists())
    free = shutil.disk_usage(home).free
    if free < needed:
        raise BootError(
            f"before an upgrade the database is copied, and the volume has {free / 1e6:.0f} MB "
            f"for {needed / 1e6:.0f} MB; raise database.volume_gb and apply, then upgrade"
        )


def restore_copy(home: Path) -> None:
    """Put the copy in the place of the migrated database, which is kept under another name."""
    for end in ENDS:
        (home / f"{FAILED}{end}").unlink(missing_ok=True)
        if (home / f"{DATABASE}{end}").exists():
            (home / f"{DATABASE}{end}").replace(home / f"{FAILED}{end}")
    flush(home)
    (home / COPY).replace(home / DATABASE)
    flush(home)
    (home / NOTE).unlink(missing_ok=True)
    print("roost: the upgrade was taken back; the database is the one of before it", flush=True)


def finish_upgrade(home: Path) -> None:
    """Let an upgrade stand: from here on there is no way back."""
    (home / NOTE).unlink(missing_ok=True)
    flush(home)
    for name in (COPY, *(f"{FAILED}{end}" for end in ENDS)):
        (home / name).unlink(missing_ok=True)
