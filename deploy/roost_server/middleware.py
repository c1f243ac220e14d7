"""ASGI layers around Prefect's application, each for one reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Unauthenticated, and seconds of the event loop a request.
CLOSED = frozenset(
    {"/docs", "/redoc", "/openapi.json", "/api/docs", "/api/redoc", "/api/openapi.json"}
)
# These read, though they are sent with POST.
READS = ("/filter", "/count", "/history", "/paginate", "/count-by", "/lateness", "/read")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def close_costly_pages(app: App) -> App:
    """Answer 404 for pages that cost more than they are worth."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in CLOSED:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return serve


def write_in_turn(app: App) -> App:
    """Let one changing request at a time reach SQLite, which else answers `database is locked`."""
    turn = asyncio.Semaphore(1)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_write(scope):
            await app(scope, receive, send)
            return
        async with turn:
            await app(scope, receive, send)

    return serve


def is_write(scope: Scope) -> bool:
    """Say whether a request may change the database."""
    if scope["type"] != "http" or scope["method"] not in WRITES:
        return False
    return not str(scope["path"]).rstrip("/").endswith(READS)
