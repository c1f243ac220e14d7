"""Prepare the image once, so that no start pays for it: the UI in its place, a migrated database."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import MutableMapping
from contextlib import closing
from pathlib import Path

from roost_server import prefect_internals as internals
from roost_server.draining import waiting_messages
from roost_server.errors import MovedError
from roost_server.seed_database import revision
from roost_server.settings import DATABASE, baked_folder
from roost_server.sqlite_writers import queue_writes
from roost_server.upgrade import REVISIONS
from roost_server.write_queue import WriteQueue


def bake(environ: MutableMapping[str, str]) -> int:
    """Have Prefect lay out its pages and its schema; it reads the environment when imported."""
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
        # Every upgrade from this image would be refused as one from a newer Prefect.
        raise RuntimeError(
            "the new database stands at a revision that list_revisions does not give"
        )
    (baked / REVISIONS).write_text(json.dumps(known), encoding="utf-8")
    return 0


def list_revisions() -> list[str]:
    """List every revision of SQLite's schema that this Prefect knows."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(internals.ALEMBIC_CONFIG.load()())
    database = internals.PROVIDE_DATABASE.load()()
    scripts.version_locations = [str(database.orm.versions_dir)]
    return sorted(script.revision for script in scripts.walk_revisions())


def _prove_internals() -> None:
    """See that this Prefect has what the server uses of its insides, also what only a stop would notice.

    Raises:
        MovedError: names each part that it has not.
    """
    if found := list(internals.moved()):
        raise MovedError("\n".join(found))


async def _make_database() -> None:
    """Migrate to the newest schema and register the blocks, as Prefect does at its start."""
    database = internals.PROVIDE_DATABASE.load()()
    await database.create_db()
    internals.LOAD_COLLECTIONS.load()()
    async with await database.session() as session:
        await internals.REGISTER_BLOCKS.load()(session=session)
    await (await database.engine()).dispose()


async def _prove_write_queue() -> None:
    """See that this Prefect's sessions still take turns in our queue, which no start would notice.

    Raises:
        RuntimeError: a release has moved what `sqlite_writers` builds on.
    """
    queue = WriteQueue()
    queue_writes(queue)
    database = internals.PROVIDE_DATABASE.load()()
    async with database.session_context(begin_transaction=True):
        taken = queue.is_taken()
    await (await database.engine()).dispose()
    if not taken:
        raise RuntimeError("this Prefect's transactions take no turn in the write queue")


def _prove_message_queues() -> None:
    """See that what waits in Prefect's queues can still be counted, which only a stop would notice."""
    topics = internals.TOPIC.load()
    topics.by_name("roost").subscribe()
    waiting_messages()
    topics.clear_all()


def seal(database: Path) -> None:
    """Make one small file of it, without anything that must differ from server to server.

    `configuration` holds the encryption key and the telemetry session: a server without them makes
    its own.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM configuration")
        connection.execute("PRAGMA journal_mode = DELETE")
        # So that the file can become smaller again (see `shrinking`); it takes a VACUUM to begin.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
