"""The migrated database in the image, copied to an empty volume so that no first start migrates.

It holds Prefect's schema and block types, and nothing that identifies a server: each server creates
its own encryption key and telemetry session (see `bake`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from roost_server.settings import DATABASE, baked_folder, home_folder, uses_sqlite_file

MIGRATE, REGISTER = (
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START",
)


def seed(environ: Mapping[str, str]) -> dict[str, str]:
    """Copy the seed database to an empty volume; return settings that skip work already done.

    Migrations are skipped only if the database has exactly the revision of this image's Prefect.
    Any other revision is Prefect's to migrate or to refuse.
    """
    seed_file = baked_folder(environ) / DATABASE
    if not seed_file.exists() or not uses_sqlite_file(environ):
        return {}
    database = home_folder(environ) / DATABASE
    if copy_once(seed_file, database):
        # Prefect then writes a note beside the database that its blocks are registered.
        return {MIGRATE: "false", REGISTER: "false"}
    stands_at = revision(database)
    return {MIGRATE: "false"} if stands_at and stands_at == revision(seed_file) else {}


def copy_once(seed_file: Path, database: Path) -> bool:
    """Copy the whole file or nothing, and never over a database; return whether it was copied."""

    def copy(aside: Path) -> None:
        shutil.copyfile(seed_file, aside)

    return create_once(database, copy)


def is_taken(database: Path) -> bool:
    """Return whether a volume has a database or parts of one.

    A write-ahead log without its database is a data loss to investigate, not an empty volume.
    """
    ends = ("", "-wal", "-journal")
    return any(database.with_name(f"{database.name}{end}").exists() for end in ends)


def create_once(database: Path, make: Callable[[Path], None]) -> bool:
    """Create a database where there is none, whole or not at all; return whether it was created.

    Args:
        database: the path; an existing file is never replaced.
        make: writes the database to the path it is given, or writes nothing.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    with _locked_folder(database.parent):
        if is_taken(database):
            return False
        aside = database.with_name(f"{database.name}.new")
        # A start that was interrupted may leave a hard link to a database here: never write into
        # it.
        aside.unlink(missing_ok=True)
        make(aside)
        if not aside.exists():
            return False
        flush(aside)
        try:
            os.link(aside, database)  # unlike a rename, this fails if the file exists
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        flush(database.parent)
    return True


def revision(database: Path) -> str:
    """Return the schema revision that Alembic wrote; empty if it cannot be read."""
    address = f"{database.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return ""
    return ",".join(sorted(row[0] for row in rows))


def checkpoint(database: Path) -> None:
    """Move committed changes from the write-ahead log into the database, and sync them to the disk.

    A host may discard a sleeping machine, and acknowledged writes must survive that. This does not
    wait for readers and writers: the log remains complete without it.
    """
    if not database.exists():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=1)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    # While a reader stays, as Litestream does, SQLite moves and syncs nothing. Sync only the log:
    # closing another handle of the database would release SQLite's own locks on it.
    with suppress(FileNotFoundError):
        flush(database.with_name(f"{database.name}-wal"))


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Keep other starts out of a folder; the kernel releases the lock when this process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Sync a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
