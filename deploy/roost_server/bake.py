"""Prepare the image once, so that no start pays for it: the UI in its place, a migrated database."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import MutableMapping
from contextlib import closing
from pathlib import Path

from roost_server.settings import baked_folder
from roost_server.template import DATABASE


def bake(environ: MutableMapping[str, str]) -> int:
    """Have Prefect lay out its pages and its schema; it reads the environment when imported."""
    baked = baked_folder(environ)
    baked.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        environ["PREFECT_HOME"] = home
        from prefect.server.api.server import create_app

        create_app()
        asyncio.run(_make_database())
        seal(Path(home) / DATABASE)
        shutil.copyfile(Path(home) / DATABASE, baked / DATABASE)
    return 0


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


def seal(database: Path) -> None:
    """Make one small file of it, without anything that must differ from server to server.

    `configuration` holds the encryption key and the telemetry session: a server without them makes
    its own.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM configuration")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
