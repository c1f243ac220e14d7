"""The database that the image brings: copied to an empty volume, so that no first start migrates.

It holds Prefect's schema and block types and nothing that makes a server itself: the encryption key
and the telemetry session are made anew by each server (see `bake`).
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
    """Put the seed_file onto an empty volume; return the settings that spare Prefect what is done.

    Migrations are left out only when the database stands at the very revision that this image's
    Prefect brings; anything else is Prefect's to migrate or to refuse.
    """
    seed_file = baked_folder(environ) / DATABASE
    if not seed_file.exists() or not uses_sqlite_file(environ):
        return {}
    database = home_folder(environ) / DATABASE
    if copy_once(seed_file, database):
        # Prefect then notes by itself that its blocks are registered, beside the database.
        return {MIGRATE: "false", REGISTER: "false"}
    stands_at = revision(database)
    return {MIGRATE: "false"} if stands_at and stands_at == revision(seed_file) else {}


def copy_once(seed_file: Path, database: Path) -> bool:
    """Copy whole or not at all, and never over anything; say whether it was copied."""

    def copy(aside: Path) -> None:
        shutil.copyfile(seed_file, aside)

    return create_once(database, copy)


def is_taken(database: Path) -> bool:
    """Return whether a volume has a database, or had one.

    A write-ahead log without its database is a loss to look into, not an empty volume.
    """
    ends = ("", "-wal", "-journal")
    return any(database.with_name(f"{database.name}{end}").exists() for end in ends)


def create_once(database: Path, make: Callable[[Path], None]) -> bool:
    """Put a database where there is none, whole or not at all; say whether it was put.

    Args:
        database: where; what already has the name wins.
        make: writes the database to the path it is given, or leaves nothing there.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    with _locked_folder(database.parent):
        if is_taken(database):
            return False
        aside = database.with_name(f"{database.name}.new")
        # Left by a start that was cut short, it may be the other name of a database: never into it.
        aside.unlink(missing_ok=True)
        make(aside)
        if not aside.exists():
            return False
        flush(aside)
        try:
            os.link(aside, database)  # unlike a rename, fails where a file stands
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        flush(database.parent)
    return True


def revision(database: Path) -> str:
    """Return the schema's revision as Alembic notes it; empty when there is none to read."""
    address = f"{database.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return ""
    return ",".join(sorted(row[0] for row in rows))


def checkpoint(database: Path) -> None:
    """Move what is committed from the write-ahead log into the database, and onto the disk.

    A machine that sleeps may be thrown away by its host; what it acknowledged must not be.
    Readers and writers are not waited for: the log stays whole without this.
    """
    if not database.exists():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=1)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    # Under a reader that stays, as Litestream does, SQLite moves nothing, and syncs nothing. Of the log only: to close
    # another handle of the database would end SQLite's own locks on it.
    with suppress(FileNotFoundError):
        flush(database.with_name(f"{database.name}-wal"))


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Keep other starts out; the system lets go when this process ends, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before anything else happens."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
