"""One machine at a time brings a Postgres database to its schema; the others wait, and find it done.

Prefect migrates as it starts. Two machines that start on one empty database both begin, and the one
that comes second ends with an error (3.8.8).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from roost_server.asgi import App, Message, Receive, Scope, Send
from roost_server.settings import POOLER_PORT, URL_ALIAS, URL_SETTING

# Any number that others do not use: "roost" as bytes.
KEY = int.from_bytes(b"roost")
# Longer than any migration that was seen; after it, Prefect may as well try by itself.
LIMIT_S = 300.0
LOOK_S = 0.1
STARTED = ("lifespan.startup.complete", "lifespan.startup.failed")

Turn = Callable[[], AbstractAsyncContextManager[None]]


def migrate_in_turn(app: App, turn: Turn) -> App:
    """Let an application start, which migrates, only while it has its turn."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(turn())

            async def send_and_let_go(message: Message) -> None:
                if message["type"] in STARTED:
                    await stack.aclose()
                await send(message)

            await app(scope, receive, send_and_let_go)

    return serve


def postgres_turn(environ: Mapping[str, str]) -> Turn:
    """Give how to take the turn on the database that the environment names.

    A lock of the session, which ends with the connection: whoever is killed holds nobody up. A
    transaction pooler hands each transaction another session, so there it is not tried.
    """
    url = environ.get(URL_SETTING) or environ.get(URL_ALIAS) or ""

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if url and not POOLER_PORT.search(url):
                await _take(url, stack)
            yield

    return turn


async def _take(url: str, stack: AsyncExitStack) -> None:
    """Wait for the lock; whatever stands in the way, Prefect meets too, and says it better."""
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    try:
        engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with asyncio.timeout(LIMIT_S):
            connection = await stack.enter_async_context(engine.connect())
            # Asked for again and again: one who waits within a statement has a snapshot, for whose
            # end the other's CREATE INDEX CONCURRENTLY waits in turn.
            asked = text(f"SELECT pg_try_advisory_lock({KEY})")
            while not await connection.scalar(asked):  # noqa: ASYNC110 - nobody here would set an event
                await asyncio.sleep(LOOK_S)
    except Exception as error:  # noqa: BLE001 - see above; its text may hold the address
        print(f"roost: no turn for the migration ({type(error).__name__})", flush=True)
