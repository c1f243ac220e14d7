"""Hold the database still while its volume is copied: then a backup has every row that was acknowledged.

A snapshot copies the blocks of a disk. SQLite, the way Prefect sets it, answers before the disk has
the row (`synchronous = NORMAL`), so first its log is emptied into it, on the disk; then nobody writes
until the request ends. The request itself is the hold: whoever asked for it lets go by hanging up,
and one who was killed hangs up too.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from roost_server.asgi import App, Receive, Scope, Send, answer
from roost_server.maintenance_mode import from_gate, is_logged_in
from roost_server.seed_database import flush
from roost_server.settings import DATABASE, has_replica, home_folder
from roost_server.write_queue import ORIGIN, Origin, WriteQueue

FREEZE_PATH = "/roost/hold"
# Clients wait that long for their write at the worst; Prefect's own give up after a minute.
LIMIT_S = 20.0
WRITER_S = 2.0
TRIES = 3


class WriteFreeze:
    """The layer that holds the database still for whom it may.

    Args:
        environ: says where the database is, and who may log in.
        queue: where everybody who writes takes a turn.
        limit_s: no hold is longer.
    """

    def __init__(
        self, environ: Mapping[str, str], queue: WriteQueue, limit_s: float = LIMIT_S
    ) -> None:
        self._environ = environ
        self._queue = queue
        self._limit_s = limit_s
        self._database = home_folder(environ) / DATABASE
        # Litestream reads all the time: under a reader the log is never empty, only waited for.
        self._tries = 1 if has_replica(environ) else TRIES

    def layer(self, app: App) -> App:
        """Answer the one request that holds; pass everything else on."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            asked = scope["type"] == "http" and scope["path"] == FREEZE_PATH and from_gate(scope)
            if not asked:
                await app(scope, receive, send)
            elif not is_logged_in(scope, self._environ):
                await answer(send, 401)
            else:
                await self._freeze(receive, send)

        return serve

    async def _freeze(self, receive: Receive, send: Send) -> None:
        ORIGIN.set(Origin.REQUEST)
        async with self._queue.slot():
            try:
                connection = await asyncio.to_thread(freeze_writes, self._database, self._tries)
            except sqlite3.Error as error:
                print(f"roost: cannot hold the database still: {error}", flush=True)
                await answer(send, 503)
                return
            # Closing lets go, and takes no time: it must not wait for a thread when all is cancelled.
            with closing(connection):
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"held\n", "more_body": True})
                await self._until_released(receive)
        await send({"type": "http.response.body", "body": b""})

    async def _until_released(self, receive: Receive) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            print(
                f"roost: the database was held still for {self._limit_s:g} s; going on", flush=True
            )


def refuse_freeze(app: App, environ: Mapping[str, str], backend: str) -> App:
    """Answer a hold with 409 and the reason: the data is in no file of the volume.

    Args:
        app: answers everything else.
        environ: says who may log in.
        backend: names the database that Prefect uses.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"] == FREEZE_PATH and from_gate(scope)
        if not asked:
            await app(scope, receive, send)
        elif not is_logged_in(scope, environ):
            await answer(send, 401)
        else:
            body = f"its database is {backend}, and not the file on the volume\n".encode()
            await send({"type": "http.response.start", "status": 409, "headers": []})
            await send({"type": "http.response.body", "body": body})

    return serve


def freeze_writes(database: Path, tries: int = TRIES) -> sqlite3.Connection:
    """Empty the log into the database and keep every writer out until the connection is closed.

    Args:
        database: the file.
        tries: how often to try to empty it; one alone does not wait for readers.

    Raises:
        sqlite3.Error: a writer does not end, or there is no database.
    """
    connection = sqlite3.connect(
        f"{database.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=WRITER_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _empty_log(connection, database.with_name(f"{database.name}-wal"), tries)
    except BaseException:
        connection.close()
        raise
    return connection


def _empty_log(connection: sqlite3.Connection, log: Path, tries: int) -> None:
    """Begin the writer's turn with an empty log, or with one that is whole on the disk.

    A process that takes no turn here, such as a continuous copy, may write between the two.
    """
    how = "PASSIVE" if tries == 1 else "TRUNCATE"
    for left in reversed(range(tries)):
        connection.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        if not log.exists() or not log.stat().st_size:
            return
        if left:
            connection.execute("ROLLBACK")
    # Of the log only: to close another handle of the database would end SQLite's own locks on it.
    flush(log)
