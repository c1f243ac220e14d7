"""A full volume: writes are refused with the reason, and go on by themselves when there is room.

SQLite rolls back what does not fit, so nothing is lost that was acknowledged. Prefect answers 500 then,
which its clients do not try again, and its services drop events after five tries. Here such a request
is answered 503, which clients repeat, and services wait with what they hold until there is room.
`/api/ready` answers 507 meanwhile; `/api/health` stays good, as a restart would mend nothing.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from roost_server.asgi import App, Message, Receive, Scope, Send
from roost_server.disk_watch import look
from roost_server.prefect_internals import DB_VACUUM, installed
from roost_server.write_queue import ORIGIN, Origin

ROOM = 2**20
"""With less free than this many bytes, a volume that refused a write still counts as full."""
LOOK_S = 1.0
QUIET_S = 60.0
RETRY_AFTER_S = 5
FAILED, TRY_AGAIN, NO_ROOM = 500, 503, 507
READY_PATH, EVENTS_PATH = "/api/ready", "/api/events"
LEASE_PATH = "/api/v2/concurrency_limits/increment-with-lease"
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
ADVICE = (
    "raise database.volume_gb or database.extend.limit_gb and apply; the server goes on by itself when "
    "there is room"
)
SENTENCE = f"The volume of this server is full, and nothing can be written: {ADVICE}."
FREEING: ContextVar[bool] = ContextVar("roost_freeing", default=False)
"""Whether what runs deletes in order to make room: it never waits for room."""

LOGGERS = ("prefect.server", "uvicorn.error", "docket.worker")
"""Who logs what requests and services failed of, with a traceback."""

Free = Callable[[], int]


class Fullness:
    """What is known of the room on the volume: full from a write that it refused until there is room.

    Args:
        folder: on the volume.
        free: counts the free bytes; by default, by asking the file system.
        clock: seconds.
    """

    def __init__(
        self,
        folder: Path,
        free: Free | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = free or (lambda: look(folder).free)
        self._clock = clock
        self._refused = False
        self._ends = False
        self._said_at: float | None = None

    def note_refused(self) -> None:
        """Note that a write did not fit, and log it, once a minute at most."""
        self._refused = True
        now = self._clock()
        if self._said_at is None or now - self._said_at >= QUIET_S:
            self._said_at = now
            print(f"roost: the volume is full, and a write was refused: {ADVICE}", flush=True)

    def note_freed(self) -> None:
        """Note that rows were deleted: SQLite writes into their place, whatever the volume has."""
        self._open("rows were deleted")

    def has_room(self) -> bool:
        """Return whether there is room on the volume for more than a few small files."""
        return self._free() >= ROOM

    def is_full(self) -> bool:
        """Return whether a write was refused and there is no more room since."""
        if self._refused and self.has_room():
            self._open("there is room on the volume")
        return self._refused

    def end(self) -> None:
        """Let nobody wait any more: the server ends, and what does not fit now is lost."""
        self._ends = True

    async def wait_for_room(self, look_s: float = LOOK_S) -> None:
        """Wait while the volume is full; what makes room does not wait."""
        while not FREEING.get() and not self._ends and self.is_full():  # noqa: ASYNC110 - a file system has no event
            await asyncio.sleep(look_s)

    def _open(self, why: str) -> None:
        if self._refused:
            print(f"roost: {why}: writes go on", flush=True)
        self._refused = False
        self._said_at = None


def is_full_error(error: BaseException | None) -> bool:
    """Return whether an error, or what it came of, is that there is no room."""
    return any(_says_full(each) for each in _causes(error))


def _says_full(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
    return isinstance(error, OSError) and error.errno in FULL_ERRNOS


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk from an error through what it was raised from, and through the parts of a group."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        parts = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        waiting += [each.__cause__, each.__context__, getattr(each, "orig", None), *parts]


def refuse_when_full(app: App, fullness: Fullness) -> App:
    """Answer 503 with the reason where an application fails because there is no room."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        if _path(scope) == READY_PATH and fullness.is_full():
            await _answer(send, NO_ROOM)
            return
        if scope["method"] == "POST" and _would_lose(_path(scope), fullness):
            await _answer(send, TRY_AGAIN)
            return
        # Services wait for room; whoever asked is answered.
        ORIGIN.set(Origin.REQUEST)
        held: list[Message] = []

        async def hold_failures(message: Message) -> None:
            if held or (message["type"] == "http.response.start" and message["status"] == FAILED):
                held.append(message)
            else:
                await send(message)

        try:
            await app(scope, receive, hold_failures)
        except Exception as error:
            if held and is_full_error(error):
                fullness.note_refused()
                await _answer(send, TRY_AGAIN)
                return
            await _pass_on(held, send)
            raise
        await _pass_on(held, send)
        if scope["method"] == "DELETE" and not held:
            fullness.note_freed()

    return serve


def _would_lose(path: str, fullness: Fullness) -> bool:
    """Return whether a request must not begin without room.

    An event is accepted into memory, which a stop loses. A slot is taken in the database before its
    lease gets a file: without the file nobody would ever give the slot back.
    """
    if path == EVENTS_PATH:
        return fullness.is_full()
    return path == LEASE_PATH and not fullness.has_room()


def _path(scope: Scope) -> str:
    return str(scope["path"]).rstrip("/")


def wait_until_end(app: App, fullness: Fullness) -> App:
    """Have nobody wait for room once an application is told to shut down."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_too() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                fullness.end()
            return message

        await app(scope, receive_too if scope["type"] == "lifespan" else receive, send)

    return serve


async def _pass_on(held: list[Message], send: Send) -> None:
    for message in held:
        await send(message)


async def _answer(send: Send, status: int) -> None:
    """Answer in the form of Prefect's own errors."""
    body = json.dumps({"exception_message": SENTENCE}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(RETRY_AFTER_S).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def survive_full(fullness: Fullness) -> None:
    """Note what Prefect's services fail to write, and have its vacuum make room; once, before its engine is made."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def note(context: Any) -> None:
        if is_full_error(context.original_exception):
            fullness.note_refused()

    event.listen(Engine, "handle_error", note)
    _let_vacuum_through(fullness)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_is_no_full_error)


def _let_vacuum_through(fullness: Fullness) -> None:
    """Have Prefect's vacuum try while the volume is full, and note what it deleted."""
    if not DB_VACUUM.is_due(installed()):  # a Prefect from before it had one
        return
    db_vacuum = DB_VACUUM.load()
    delete: Callable[..., Awaitable[int]] = db_vacuum._batch_delete  # noqa: SLF001 - all of its deleting goes through it

    async def batch_delete(*arguments: Any, **named: Any) -> int:
        token = FREEING.set(True)
        try:
            deleted = await delete(*arguments, **named)
        finally:
            FREEING.reset(token)
        if deleted:
            fullness.note_freed()
        return deleted

    db_vacuum._batch_delete = batch_delete  # noqa: SLF001 - as above


def _is_no_full_error(record: logging.LogRecord) -> bool:
    """Keep tracebacks of a full volume out of the log, which has one line a minute of it."""
    return not (record.exc_info and is_full_error(record.exc_info[1]))
