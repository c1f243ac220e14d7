"""Check whether Prefect could use a database: `python server.py try-database`, on its own machine.

It connects as Prefect will and checks what Prefect needs. It leaves nothing in the database,
because it rolls back what it creates. It prints one sentence and exits with the number of the
fault.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from roost_server.errors import BootError
from roost_server.postgres_address import POOLING, database_settings
from roost_server.postgres_certificate import certificate_settings
from roost_server.postgres_connection import connected, explained
from roost_server.postgres_faults import SENTENCES, DatabaseFaultError, Fault
from roost_server.postgres_pooler import probe_pooling
from roost_server.settings import URL_VARIABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

# The settings have names of their own on the machine, so that no server starts with them meanwhile.
PREFIX = "ROOST_TRIAL_"
# The first release with `gen_random_uuid`, which Prefect's migrations use.
OLDEST = 130000
REVISION = re.compile(r"^revision\s*=\s*[\"'](\w+)[\"']", re.MULTILINE)


def try_database(environ: MutableMapping[str, str]) -> int:
    """Check the database that the environment names; return 0 or the number of the fault."""
    names = [name for name in environ if name.startswith(PREFIX)]
    for name in names:
        environ[name.removeprefix(PREFIX)] = environ.pop(name)
    if not names:
        print(f"roost: no database was tried: {SENTENCES[Fault.NO_VALUE]}", flush=True)
        return Fault.NO_VALUE
    try:
        environ.update(database_settings(environ))
        environ.update(certificate_settings(environ))
        environ.update(probe_pooling(environ))
        with explained(environ):
            asyncio.run(look(environ))
    except DatabaseFaultError as error:
        print(f"roost: the database was tried, and cannot be used: {error}", flush=True)
        return error.fault
    except BootError as error:
        print(f"roost: the database was tried, and cannot be used: {error}", flush=True)
        return Fault.ADDRESS
    print(f"roost: the database was tried, and can be used ({environ[POOLING]})", flush=True)
    return 0


async def look(environ: Mapping[str, str]) -> None:
    """Check what Prefect needs of the database; leave nothing behind.

    Raises:
        DatabaseFaultError: something is missing.
    """
    from sqlalchemy import text

    name = environ[URL_VARIABLE]
    async with connected(environ) as connection:
        if int(str(await connection.scalar(text("SHOW server_version_num")))) < OLDEST:
            raise DatabaseFaultError(Fault.OLD_SERVER, name)
        async with _undone(connection):
            await connection.execute(text("CREATE TABLE roost_trial (id integer)"))
        if not await connection.scalar(
            text("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'")
        ):
            await _try_extension(connection, name)
        if not _is_known(await schema_revision(connection)):
            raise DatabaseFaultError(Fault.NEWER_SCHEMA, name)


@asynccontextmanager
async def _undone(connection: AsyncConnection) -> AsyncIterator[None]:
    """Roll back what the body does; PostgreSQL also rolls back tables and extensions."""
    from sqlalchemy import text

    await connection.execute(text("BEGIN"))
    try:
        yield
    finally:
        await connection.execute(text("ROLLBACK"))


async def _try_extension(connection: AsyncConnection, name: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    try:
        async with _undone(connection):
            await connection.execute(text("CREATE EXTENSION pg_trgm"))
    except DBAPIError:
        raise DatabaseFaultError(Fault.NO_EXTENSION, name) from None


async def schema_revision(connection: AsyncConnection) -> str:
    """Return the revision of the database's schema; empty if no Prefect has migrated it."""
    from sqlalchemy import text

    if await connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
        return ""
    return str(await connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


def _is_known(revision: str) -> bool:
    """Return whether the image's Prefect knows a revision; True if that cannot be read."""
    found = importlib.util.find_spec("prefect")
    folders = [Path(path) for path in (found.submodule_search_locations or ())] if found else []
    known = {
        match[1]
        for folder in folders
        for file in folder.glob("server/database/_migrations/versions/postgresql/*.py")
        if (match := REVISION.search(file.read_text(encoding="utf-8")))
    }
    return not revision or not known or revision in known
