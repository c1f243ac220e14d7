"""Let one machine at a time migrate a Postgres database; the others wait and find it migrated.

Prefect migrates when it starts. If two machines start on one empty database, both begin, and the
second fails with an error (3.8.8).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from roost_server.asgi import App, Message, Receive, Scope, Send
from roost_server.errors import BootError
from roost_server.postgres_address import Pooling, database_url, pooling_of
from roost_server.postgres_connection import connected, explained

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

# A number that other programs are unlikely to use: "roost" as bytes.
KEY = int.from_bytes(b"roost")
# Shorter than the grace period of the machine's check (60 s, scripts/roost/plan/machine_config.py) minus
# the time of the imports, so that this message is logged before Fly restarts the machine.
LIMIT_S = 30.0
POLL_S = 0.1
KEEP_ALIVE_S = 5.0
# Postgres ends the session of a holder that vanished, as after a power failure, after this many
# seconds. A later start then finds the lock free. Longer than a start blocks the keep-alive
# statements.
IDLE_SESSION_S = 45
STARTED = ("lifespan.startup.complete", "lifespan.startup.failed")
# Postgres may hide the columns of another user's session.
HOLDER = """
SELECT a.pid, 'process ' || a.pid || ' (' || concat_ws(', ',
    coalesce(nullif(a.application_name, ''), 'without a name'),
    'from ' || host(a.client_addr),
    'connected since ' || to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
    ) || ')'
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND (l.classid::bigint << 32) + l.objid::bigint = :key
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

TakeLock = Callable[[], AbstractAsyncContextManager[None]]


def migrate_under_lock(app: App, take_lock: TakeLock) -> App:
    """Let an application start, which migrates, only while it has the lock."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(take_lock())
            except BootError as error:
                await receive()
                await send({"type": "lifespan.startup.failed", "message": f"roost: {error}."})
                return

            async def send_and_let_go(message: Message) -> None:
                if message["type"] in STARTED:
                    await stack.aclose()
                await send(message)

            await app(scope, receive, send_and_let_go)

    return serve


def postgres_lock(environ: Mapping[str, str], limit_s: float = LIMIT_S) -> TakeLock:
    """Return a function that takes the migration lock of the environment's database.

    The lock belongs to the session and ends with the connection, so a killed server blocks nobody.
    A transaction pooler may give each transaction another session and would keep a lock whose
    holder is gone, so no lock is taken behind one.

    Raises:
        BootError: when the lock is taken: another session had it for `limit_s` seconds; names it.
    """

    @asynccontextmanager
    async def take_lock() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if database_url(environ) and pooling_of(environ) is not Pooling.TRANSACTION:
                with explained(environ):
                    connection = await stack.enter_async_context(connected(environ))
                    await _take(connection, limit_s)
                keeping_alive = asyncio.create_task(_keep_alive(connection))
                stack.push_async_callback(_end, keeping_alive)
            yield

    return take_lock


async def _take(connection: AsyncConnection, limit_s: float) -> None:
    """Wait for the lock, and make Postgres end this session if it falls silent."""
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    now = asyncio.get_running_loop().time
    ends = now() + limit_s
    # Polled, because a waiting statement would keep a snapshot open, and CREATE INDEX CONCURRENTLY
    # in the holder's migration waits for the end of all snapshots.
    while not await connection.scalar(text(f"SELECT pg_try_advisory_lock({KEY})")):
        if now() > ends:
            raise BootError(await _describe_holder(connection, limit_s))
        await asyncio.sleep(POLL_S)
    with suppress(DBAPIError):  # PostgreSQL before 14 has no such setting
        await connection.execute(text(f"SET idle_session_timeout = '{IDLE_SESSION_S}s'"))


async def _describe_holder(connection: AsyncConnection, limit_s: float) -> str:
    from sqlalchemy import text

    held = (
        f"another session of the database has held the migration lock for more than {limit_s:.0f} s"
    )
    found = (await connection.execute(text(HOLDER), {"key": KEY})).first()
    if found is None:  # the session ended meanwhile
        return f"{held}; start again"
    pid, who = found
    return (
        f"{held}: {who}; wait for it, or if it is no machine of this server, end it in the database: "
        f"SELECT pg_terminate_backend({pid})"
    )


async def _keep_alive(connection: AsyncConnection) -> None:
    """Keep the session from timing out; after a broken connection the lock is lost anyway."""
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    with suppress(SQLAlchemyError, OSError):
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            await connection.execute(text("SELECT 1"))


async def _end(keeping_alive: asyncio.Task[None]) -> None:
    keeping_alive.cancel()
    with suppress(asyncio.CancelledError):
        await keeping_alive
