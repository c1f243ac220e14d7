"""Find out whether a transaction-mode pooler is in front of Postgres, and adapt Prefect to it.

A pooler in transaction mode can have any host and any port, so it is recognised by its behaviour.
Two open connections never share a server session, and one connection never changes its session,
except through such a pooler: an idle pooler gives both connections the same session, and a
round-robin pooler gives each transaction another one (tried with PgBouncer 1.18.0 and 1.25.2, with
and without `server_round_robin`, with one session and with several).

Nothing of a session lasts behind it. With both caches off, asyncpg still names what SQLAlchemy
prepares and closes it later, in another session. The pooler's sessions keep those names, and a
later process, which counts from 1 again, fails because the name is taken (seen with PgBouncer
1.18.0; newer releases rename statements). A statement without a name is replaced by the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from roost_server.postgres_address import Pooling, database_url, pooling_of, pooling_settings
from roost_server.postgres_connection import connected, explained, unnamed
from roost_server.prefect_internals import TRIGGERS

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

# A pool of one session makes the second connection wait; then each connection has its own session.
SECOND_LIMIT_S = 2.0
# Two servers behind one address may have the same process id, so the start time is compared too.
SESSION = "SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"


def probe_pooling(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings for the pooler in front of the database; connect if it is unknown.

    Raises:
        BootError: the database cannot be reached or refuses the login, or its pooler supports no
            transactions. The message names the secret, never its value.
    """
    is_postgres = database_url(environ).startswith("postgresql")
    if not is_postgres or pooling_of(environ) is not Pooling.UNKNOWN:
        return {}
    with explained(environ):
        pooling = asyncio.run(find_pooling(environ))
    if pooling is Pooling.TRANSACTION:
        print(
            "roost: the database is behind a pooler in transaction mode: no statement is prepared, "
            "and the migration takes no lock",
            flush=True,
        )
    return pooling_settings(pooling, environ)


async def find_pooling(environ: Mapping[str, str]) -> Pooling:
    """Return TRANSACTION, or DIRECT if each connection has a session of its own."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(connected(environ))
        await _begin(first)
        try:
            async with asyncio.timeout(SECOND_LIMIT_S):
                second = await stack.enter_async_context(connected(environ))
                return await _compare(first, second)
        except TimeoutError:
            return Pooling.DIRECT


async def _begin(connection: AsyncConnection) -> None:
    """Run a transaction, which a pooler in statement mode refuses."""
    from sqlalchemy import text

    await connection.execute(text("BEGIN"))
    await connection.execute(text("COMMIT"))


async def _compare(first: AsyncConnection, second: AsyncConnection) -> Pooling:
    """Compare the sessions of two connections until they show a transaction-mode pooler.

    Each is asked twice in a row, because a round-robin pooler would otherwise always give each
    connection the same session; and all again, because the pool may have grown meanwhile.
    """
    from sqlalchemy import text

    seen: dict[AsyncConnection, set[str]] = {first: set(), second: set()}
    for connection in (first, first, second, second) * 2:
        seen[connection].add(str(await connection.scalar(text(SESSION))))
        if seen[first] & seen[second] or len(seen[connection]) > 1:
            return Pooling.TRANSACTION
    return Pooling.DIRECT


def adapt_to_pooler() -> None:
    """Use unnamed statements and no notifications, which would arrive in another session."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "do_connect", _without_names)
    # Prefect then behaves as with SQLite, where it cannot listen. It looks for changed automations
    # every 5 s by itself (3.7.8 to 3.9.1: `reconcile_automations`).
    TRIGGERS.load().get_pg_notify_connection = _no_connection


def _without_names(dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    if dialect.driver == "asyncpg":
        options["prepared_statement_name_func"] = unnamed


async def _no_connection() -> None:
    return None
