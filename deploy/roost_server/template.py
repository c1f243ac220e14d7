"""The database that the image brings: copied to an empty volume, so that no first start migrates.

It holds Prefect's schema and block types and nothing that makes a server itself: the encryption key
and the telemetry session are made anew by each server (see `bake`).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from roost_server.settings import baked_folder, home_folder, uses_sqlite_file

DATABASE = "prefect.db"
MIGRATE, REGISTER = (
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START",
)


def seed(environ: Mapping[str, str]) -> dict[str, str]:
    """Put the template onto an empty volume; give the settings that spare Prefect what is done.

    Migrations are left out only when the database stands at the very revision that this image's
    Prefect brings; anything else is Prefect's to migrate or to refuse.
    """
    template = baked_folder(environ) / DATABASE
    if not template.exists() or not uses_sqlite_file(environ):
        return {}
    database = home_folder(environ) / DATABASE
    if copy_once(template, database):
        # Prefect then notes by itself that its blocks are registered, beside the database.
        return {MIGRATE: "false", REGISTER: "false"}
    return {MIGRATE: "false"} if revision(database) == revision(template) else {}


def copy_once(template: Path, database: Path) -> bool:
    """Copy whole or not at all, and never over anything; say whether it was copied.

    A file that already has the name wins, and so does a write-ahead log without its database:
    that is a loss to look into, not an empty volume.
    """
    if any(database.with_name(database.name + end).exists() for end in ("", "-wal", "-journal")):
        return False
    database.parent.mkdir(parents=True, exist_ok=True)
    aside = database.with_name(f"{database.name}.new")
    shutil.copyfile(template, aside)
    _flush(aside)
    try:
        os.link(aside, database)  # unlike a rename, fails where a file stands
    except FileExistsError:
        return False
    finally:
        aside.unlink()
    _flush(database.parent)
    return True


def revision(database: Path) -> str:
    """Give the schema's revision as Alembic notes it; empty when there is none to read."""
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1)
    except sqlite3.Error:
        return ""
    try:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return ""
    finally:
        connection.close()
    return ",".join(sorted(row[0] for row in rows))


def checkpoint(database: Path) -> None:
    """Move what is committed from the write-ahead log into the database, and onto the disk.

    A machine that sleeps may be thrown away by its host; what it acknowledged must not be.
    Readers and writers are not waited for: the log stays whole without this.
    """
    if not database.exists():
        return
    connection = sqlite3.connect(database, timeout=1)
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except sqlite3.Error:
        return
    finally:
        connection.close()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
