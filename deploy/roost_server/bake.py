"""Prepare the UI's files and a migrated database at build time, so that starts are fast."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, MutableMapping
from contextlib import closing
from pathlib import Path

from roost_server import prefect_internals as internals
from roost_server.draining import waiting_messages
from roost_server.errors import CollectionError, MovedError
from roost_server.seed_database import revision
from roost_server.settings import DATABASE, baked_folder
from roost_server.sqlite_writers import queue_writes
from roost_server.upgrade import REVISIONS
from roost_server.write_queue import WriteQueue


def bake(environ: MutableMapping[str, str]) -> int:
    """Write the UI, the seed database and the revisions into the image; return the exit code.

    Prefect reads the environment when it is imported, so PREFECT_HOME is set before.
    """
    baked = baked_folder(environ)
    baked.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        environ["PREFECT_HOME"] = home
        _prove_internals()
        internals.CREATE_APP.load()()
        asyncio.run(_make_database())
        asyncio.run(_prove_write_queue())
        _prove_message_queues()
        seal(Path(home) / DATABASE)
        shutil.copyfile(Path(home) / DATABASE, baked / DATABASE)
    known = list_revisions()
    if revision(baked / DATABASE) not in known:
        # A server of this image would refuse each of its own databases as one of a newer Prefect.
        raise RuntimeError("the new database is at a revision that list_revisions does not return")
    (baked / REVISIONS).write_text(json.dumps(known), encoding="utf-8")
    return 0


def list_revisions() -> list[str]:
    """Return every revision of SQLite's schema that this Prefect knows."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(internals.ALEMBIC_CONFIG.load()())
    database = internals.PROVIDE_DATABASE.load()()
    scripts.version_locations = [str(database.orm.versions_dir)]
    return sorted(script.revision for script in scripts.walk_revisions())


def _prove_internals() -> None:
    """Check that this Prefect has every internal that the server uses.

    Some of them are used only at a stop, so no start of the server would notice that they moved.

    Raises:
        MovedError: names each internal that moved.
    """
    if found := list(internals.moved()):
        raise MovedError("\n".join(found))


async def _make_database() -> None:
    """Migrate to the newest schema and register the blocks, as Prefect does when it starts."""
    database = internals.PROVIDE_DATABASE.load()()
    await database.create_db()
    prove_collections(internals.LOAD_COLLECTIONS.load()())
    async with await database.session() as session:
        await internals.REGISTER_BLOCKS.load()(session=session)
    await (await database.engine()).dispose()


def prove_collections(loaded: Mapping[str, object]) -> None:
    """Check that every collection among the extra packages can be imported.

    Prefect itself only prints a warning, and the blocks of the collection are missing on the server.

    Args:
        loaded: the module of each collection, or why it cannot be imported.

    Raises:
        CollectionError: names each collection that cannot be imported.
    """
    broken = [
        f"the collection {name} cannot be imported with this Prefect ({type(found).__name__}: {found})"
        for name, found in loaded.items()
        if isinstance(found, Exception)
    ]
    if broken:
        raise CollectionError(
            f"{'; '.join(broken)}. Choose another version in prefect.extras, and lock it again"
        )


async def _prove_write_queue() -> None:
    """Check that this Prefect's sessions still wait in the write queue.

    A start of the server would not notice if they did not.

    Raises:
        RuntimeError: a release moved what `sqlite_writers` builds on.
    """
    queue = WriteQueue()
    queue_writes(queue)
    database = internals.PROVIDE_DATABASE.load()()
    async with database.session_context(begin_transaction=True):
        taken = queue.is_taken()
    await (await database.engine()).dispose()
    if not taken:
        raise RuntimeError("this Prefect's transactions do not wait in the write queue")


def _prove_message_queues() -> None:
    """Check that the messages in Prefect's queues can be counted, as a stop does."""
    topics = internals.TOPIC.load()
    topics.by_name("roost").subscribe()
    waiting_messages()
    topics.clear_all()


def seal(database: Path) -> None:
    """Make the database one small file without the rows that identify a server.

    `configuration` holds the encryption key and the telemetry session. A server that finds none
    creates its own.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM configuration")
        connection.execute("PRAGMA journal_mode = DELETE")
        # `vacuum` can shrink the file only in this mode, which a VACUUM writes into the file.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
