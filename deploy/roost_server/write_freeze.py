"""Freeze writes while the volume is copied, so that a backup has every acknowledged row.

A snapshot copies the blocks of a disk. With Prefect's settings (`synchronous = NORMAL`), SQLite
acknowledges a row before it is on the disk. So the write-ahead log is first moved into the database
and synced, and then nothing writes until the request ends. The request itself is the freeze: the
client ends it by closing the connection, and a client that is killed closes it too.
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
# The longest delay of a client's write; Prefect's own clients give up after a minute.
LIMIT_S = 20.0
WRITER_S = 2.0
TRIES = 3


class WriteFreeze:
    """The layer that freezes writes for an authenticated gate.

    Args:
        environ: holds the folder of the database and the login.
        queue: the queue of everything that writes.
        limit_s: the longest freeze, in seconds.
    """

    def __init__(
        self, environ: Mapping[str, str], queue: WriteQueue, limit_s: float = LIMIT_S
    ) -> None:
        self._environ = environ
        self._queue = queue
        self._limit_s = limit_s
        self._database = home_folder(environ) / DATABASE
        # Litestream always reads, and under a reader the log never becomes empty: do not wait for
        # that.
        self._tries = 1 if has_replica(environ) else TRIES

    def layer(self, app: App) -> App:
        """Answer the freeze request; pass everything else on."""

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
                print(f"roost: cannot freeze writes to the database: {error}", flush=True)
                await answer(send, 503)
                return
            # Closing ends the freeze. It must not wait for a thread, as this task may be cancelled.
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
                f"roost: the write freeze ended after its limit of {self._limit_s:g} s", flush=True
            )


def refuse_freeze(app: App, environ: Mapping[str, str], backend: str) -> App:
    """Answer a freeze request with 409 and the reason: the data is in no file on the volume.

    Args:
        app: answers everything else.
        environ: holds the login.
        backend: the database that Prefect uses, as `name_backend` names it.
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
    """Empty the log into the database, and block every writer until the connection is closed.

    Args:
        database: the database file.
        tries: how often to try to empty the log; a single try does not wait for readers.

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
    """Begin a write transaction with the log empty, or completely synced to the disk.

    A process outside the queue, such as Litestream, may write between the checkpoint and the BEGIN.
    """
    how = "PASSIVE" if tries == 1 else "TRUNCATE"
    for left in reversed(range(tries)):
        connection.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        if not log.exists() or not log.stat().st_size:
            return
        if left:
            connection.execute("ROLLBACK")
    # Sync only the log: closing another handle of the database would release SQLite's own locks on
    # it.
    flush(log)
