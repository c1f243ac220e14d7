"""Have clients repeat a request that failed because a connection to the database or the Redis was lost.

Prefect answers 503 to most errors of a database, which its clients repeat for about a minute. It answers
500, which they do not repeat, where nothing listens at the database, as during a restart of it, and where
a connection to Redis broke (3.8.8, 3.9.1). A statement that took too long is not repeated: it would take too
long again, and one that commits may have been carried out.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http import HTTPStatus
from traceback import walk_tb

from roost_server.asgi import App, Message, Receive, Scope, Send

NOT_REPEATED = frozenset({"/api/v2/concurrency_limits/increment-with-lease"})
"""Paths whose errors stay 500, so that clients do not repeat the request.

Prefect commits the slots of a limit in the database before it stores their lease in the Redis (3.8.8, 3.9.1).
Where the second fails, nothing frees the slots, and each repetition would take more.
"""
_OF_THE_SYSTEM = (ConnectionError, socket.gaierror)
_CONNECTS = ("asyncpg.connection", "connect")
"""The function with which asyncpg connects. It raises a bare TimeoutError, as a statement does that takes too long."""
# By name, as a server without Redis has no client of it.
_OF_CLIENTS = frozenset(
    {
        ("asyncpg", "PostgresConnectionError"),
        ("asyncpg", "CannotConnectNowError"),
        ("asyncpg", "InterfaceError"),
        ("redis", "ConnectionError"),
        ("redis", "TimeoutError"),
        ("redis", "OutOfMemoryError"),  # it answers, and takes writes again once it has room
    }
)


def repeat_lost(app: App) -> App:
    """Answer 503 where the application answers 500 because a connection was lost.

    A reply with status 500 is held back until the application raised what caused it, or ended.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") in NOT_REPEATED:
            await app(scope, receive, send)
            return
        held: list[Message] = []

        async def hold(message: Message) -> None:
            if held or _is_error(message):
                held.append(message)
            else:
                await send(message)

        try:
            await app(scope, receive, hold)
        except Exception as error:
            if not held or not is_lost(error):
                await _send_all(held, send)
                raise
            # Not raised: uvicorn would close the connection, on which the proxy may have sent the
            # next request.
            held[0] = {**held[0], "status": int(HTTPStatus.SERVICE_UNAVAILABLE)}
        await _send_all(held, send)

    return serve


def is_lost(error: BaseException) -> bool:
    """Return whether an error, or one that caused it, is that of a lost connection."""
    return any(
        isinstance(each, _OF_THE_SYSTEM)
        or not _names(each).isdisjoint(_OF_CLIENTS)
        or (isinstance(each, TimeoutError) and _is_of_connect(each))
        for each in _causes(error)
    )


def _is_of_connect(error: BaseException) -> bool:
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any((f.f_globals.get("__name__"), f.f_code.co_name) == _CONNECTS for f in frames)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _names(error: BaseException) -> set[tuple[str, str]]:
    return {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}


def _is_error(message: Message) -> bool:
    started = message["type"] == "http.response.start"
    return bool(started and message["status"] == HTTPStatus.INTERNAL_SERVER_ERROR)


async def _send_all(messages: list[Message], send: Send) -> None:
    for message in messages:
        await send(message)
