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

from roost_server.draining import waiting_messages
from roost_server.settings import baked_folder
from roost_server.sqlite_writers import share_queue
from roost_server.template import DATABASE, revision
from roost_server.upgrade import REVISIONS
from roost_server.write_queue import WriteQueue


def bake(environ: MutableMapping[str, str]) -> int:
    """Have Prefect lay out its pages and its schema; it reads the environment when imported."""
    baked = baked_folder(environ)
    baked.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        environ["PREFECT_HOME"] = home
        from prefect.server.api.server import create_app

        create_app()
        asyncio.run(_make_database())
        asyncio.run(_prove_turns())
        _prove_queues()
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
    from prefect.server.database import provide_database_interface
    from prefect.server.database.alembic_commands import alembic_config

    scripts = ScriptDirectory.from_config(alembic_config())
    scripts.version_locations = [str(provide_database_interface().orm.versions_dir)]
    return sorted(script.revision for script in scripts.walk_revisions())


async def _make_database() -> None:
    """Migrate to the newest schema and register the blocks, as Prefect does at its start."""
    import prefect.plugins
    from prefect.server.database import provide_database_interface
    from prefect.server.models.block_registration import run_block_auto_registration

    database = provide_database_interface()
    await database.create_db()
    prefect.plugins.load_prefect_collections()
    async with await database.session() as session:
        await run_block_auto_registration(session=session)
    await (await database.engine()).dispose()


async def _prove_turns() -> None:
    """See that this Prefect's sessions still take turns in our queue, which no start would notice.

    Raises:
        RuntimeError: a release has moved what `sqlite_writers` builds on.
    """
    from prefect.server.database import provide_database_interface

    queue = WriteQueue()
    share_queue(queue)
    database = provide_database_interface()
    async with database.session_context(begin_transaction=True):
        taken = queue.is_taken()
    await (await database.engine()).dispose()
    if not taken:
        raise RuntimeError("this Prefect's transactions take no turn in the write queue")


def _prove_queues() -> None:
    """See that what waits in Prefect's queues can still be counted, which only a stop would notice."""
    from prefect.server.utilities.messaging.memory import Topic

    topic = Topic.by_name("roost")
    topic.subscribe()
    waiting_messages()
    Topic.clear_all()


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
