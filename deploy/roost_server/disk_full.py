"""Refuse writes with the reason while the volume is full, and accept them when there is room.

SQLite rolls back a transaction that does not fit, so no acknowledged write is lost. Prefect then
answers 500, which its clients do not retry, and its services drop events after five attempts. This
layer answers 503, which clients retry, and services wait until there is room. Meanwhile
`/api/ready` answers 507. `/api/health` stays 200, because a restart would not free any space.
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
"""Bytes. After a refused write, the volume counts as full until more than this is free."""
LOOK_S = 1.0
LOG_AGAIN_S = 60.0
RETRY_AFTER_S = 5
FAILED, TRY_AGAIN, NO_ROOM = 500, 503, 507
READY_PATH, EVENTS_PATH = "/api/ready", "/api/events"
LEASE_PATH = "/api/v2/concurrency_limits/increment-with-lease"
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
ADVICE = (
    "raise database.volume_gb or database.extend.limit_gb and apply; the server accepts writes again when "
    "there is room"
)
SENTENCE = f"The volume of this server is full, and nothing can be written: {ADVICE}."
FREEING: ContextVar[bool] = ContextVar("roost_freeing", default=False)
"""Whether the current task deletes rows to free space; such a task never waits for room."""

LOGGERS = ("prefect.server", "uvicorn.error", "docket.worker")
"""The loggers that write failed requests and services with a traceback."""

Free = Callable[[], int]


class Fullness:
    """Whether the volume is full: from a refused write until there is room again.

    Args:
        folder: a folder on the volume.
        free: returns the free bytes; asks the file system by default.
        clock: returns seconds.
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
        self._shutting_down = False
        self._logged_at: float | None = None

    def note_refused(self) -> None:
        """Record that a write did not fit, and log it at most once a minute."""
        self._refused = True
        now = self._clock()
        if self._logged_at is None or now - self._logged_at >= LOG_AGAIN_S:
            self._logged_at = now
            print(f"roost: the volume is full, and a write was refused: {ADVICE}", flush=True)

    def note_freed(self) -> None:
        """Record that rows were deleted: SQLite reuses their pages, even on a full volume."""
        self._accept_writes("rows were deleted")

    def has_room(self) -> bool:
        """Return whether the volume has room for more than a few small files."""
        return self._free() >= ROOM

    def is_full(self) -> bool:
        """Return whether a write was refused and there has been no room since."""
        if self._refused and self.has_room():
            self._accept_writes("there is room on the volume")
        return self._refused

    def end(self) -> None:
        """Stop all waiting: the server shuts down, and what does not fit now is lost."""
        self._shutting_down = True

    async def wait_for_room(self, look_s: float = LOOK_S) -> None:
        """Wait while the volume is full; tasks that free space do not wait."""
        while not FREEING.get() and not self._shutting_down and self.is_full():  # noqa: ASYNC110 - a file system has no event
            await asyncio.sleep(look_s)

    def _accept_writes(self, why: str) -> None:
        if self._refused:
            print(f"roost: {why}: writes are accepted again", flush=True)
        self._refused = False
        self._logged_at = None


def is_full_error(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, means that there is no room."""
    return any(_is_full_itself(each) for each in _causes(error))


def _is_full_itself(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
    return isinstance(error, OSError) and error.errno in FULL_ERRNOS


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error, its causes, and the parts of exception groups."""
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
    """Answer 503 with the reason when the application fails because there is no room."""

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
        # A request is answered at once; only services wait for room (see WriteQueue).
        ORIGIN.set(Origin.REQUEST)
        withheld: list[Message] = []

        async def withhold_failures(message: Message) -> None:
            starts = message["type"] == "http.response.start"
            if withheld or (starts and message["status"] == FAILED):
                withheld.append(message)
            else:
                await send(message)

        try:
            await app(scope, receive, withhold_failures)
        except Exception as error:
            if withheld and is_full_error(error):
                fullness.note_refused()
                await _answer(send, TRY_AGAIN)
                return
            await _pass_on(withheld, send)
            raise
        await _pass_on(withheld, send)
        if scope["method"] == "DELETE" and not withheld:
            fullness.note_freed()

    return serve


def _would_lose(path: str, fullness: Fullness) -> bool:
    """Return whether a request would lose data if it began without room.

    Prefect accepts an event into memory, and a stop loses it. Prefect takes a concurrency slot in
    the database before it writes the file of its lease; without that file the slot is never
    released.
    """
    if path == EVENTS_PATH:
        return fullness.is_full()
    return path == LEASE_PATH and not fullness.has_room()


def _path(scope: Scope) -> str:
    return str(scope["path"]).rstrip("/")


def wait_until_end(app: App, fullness: Fullness) -> App:
    """End all waiting for room when the application is told to shut down."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_note() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                fullness.end()
            return message

        await app(scope, receive_and_note if scope["type"] == "lifespan" else receive, send)

    return serve


async def _pass_on(withheld: list[Message], send: Send) -> None:
    for message in withheld:
        await send(message)


async def _answer(send: Send, status: int) -> None:
    """Send the reason in the form of Prefect's own errors."""
    body = json.dumps({"exception_message": SENTENCE}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(RETRY_AFTER_S).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def survive_full(fullness: Fullness) -> None:
    """Watch what Prefect's services fail to write, and let Prefect's vacuum free space.

    Call it once, before Prefect creates its database engine.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def note(context: Any) -> None:
        if is_full_error(context.original_exception):
            fullness.note_refused()

    event.listen(Engine, "handle_error", note)
    _exempt_vacuum(fullness)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_is_no_full_error)


def _exempt_vacuum(fullness: Fullness) -> None:
    """Let Prefect's vacuum write while the volume is full, and note when it deleted rows."""
    if not DB_VACUUM.is_due(installed()):  # older releases have no vacuum
        return
    db_vacuum = DB_VACUUM.load()
    delete: Callable[..., Awaitable[int]] = db_vacuum._batch_delete  # noqa: SLF001 - every deletion of the vacuum goes through it

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
    """Return False for a record of a full volume: its traceback adds nothing to our own line."""
    return not (record.exc_info and is_full_error(record.exc_info[1]))
