"""Report a Redis that is away: as bad health, and as an answer that clients try again.

Without its Redis, Prefect's own health stays green while writes are answered 500, which its clients
do not retry (3.8.8, 3.9.1). Some of these writes have changed the database before they fail, so that a
repetition does so again. A write is therefore refused before Prefect begins it. A `Retry-After` would
make clients give up after five such pauses; a reply with `Prefect-Maintenance` is none of their attempts,
so that they wait until it is back. Fly's proxy stops sending requests to a machine whose health is bad.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from roost_server.asgi import App, Message, Receive, Scope, Send
from roost_server.lost_connections import NOT_REPEATED
from roost_server.maintenance_mode import MAINTENANCE
from roost_server.redis_settings import redis_url
from roost_server.write_requests import is_write

LIMIT_S = 2.0
FRESH_S = 0.5
"""How long an answer of the Redis counts, so that health checks and writes do not ask it each time."""
HEALTH = frozenset({"/api/health", "/api/ready"})
AWAY = "Redis does not answer"

Ping = Callable[[], Awaitable[object]]


def pinger(environ: Mapping[str, str]) -> Ping:
    """Return a call that asks the Redis of the environment for an answer."""
    from redis.asyncio import Redis

    client = Redis.from_url(
        redis_url(environ), socket_timeout=LIMIT_S, socket_connect_timeout=LIMIT_S
    )

    async def ping() -> object:
        return await client.ping()

    return ping


class RedisHealth:
    """Whether the Redis answers.

    Args:
        ping: asks it; any error counts as no answer.
        clock: returns seconds.
    """

    def __init__(self, ping: Ping, clock: Callable[[], float] = time.monotonic) -> None:
        self._ping, self._clock = ping, clock
        self._asked: float | None = None
        self._answered = True
        self._asking = asyncio.Lock()

    async def answers(self) -> bool:
        """Return whether the Redis answers now, or did within the last half second."""
        async with self._asking:
            now = self._clock()
            if self._asked is None or now - self._asked >= FRESH_S:
                self._answered = await self._ask()
                self._asked = self._clock()
            return self._answered

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._ping()
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it did not answer
            return False
        return True

    def layer(self, app: App) -> App:
        """Answer for the health of the Redis, refuse writes without it, and turn errors that it causes into 503."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
            elif scope["path"] in HEALTH:
                await (app(scope, receive, send) if await self.answers() else _refuse(send))
            elif is_write(scope) and not await self.answers():
                await _refuse(send, MAINTENANCE)
            elif scope["path"] in NOT_REPEATED:
                await app(scope, receive, send)
            else:
                await self._serve(app, scope, receive, send)

        return serve

    async def _serve(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; answer 503 where Prefect answers 500 because its Redis is away."""
        is_away = False

        async def corrected(message: Message) -> None:
            nonlocal is_away
            started = message["type"] == "http.response.start"
            if started and message["status"] == HTTPStatus.INTERNAL_SERVER_ERROR:
                is_away = not await self.answers()
                if is_away:
                    headers = [*message.get("headers", ()), MAINTENANCE]
                    status = int(HTTPStatus.SERVICE_UNAVAILABLE)
                    message = {**message, "status": status, "headers": headers}
            await send(message)

        try:
            await app(scope, receive, corrected)
        except Exception:
            # Prefect raises what it has answered, and uvicorn would close the connection, on which
            # the proxy may have sent the next request.
            if not is_away:
                raise


async def _refuse(send: Send, *more_headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"message": AWAY}).encode()
    headers = [
        *more_headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send(
        {
            "type": "http.response.start",
            "status": int(HTTPStatus.SERVICE_UNAVAILABLE),
            "headers": headers,
        }
    )
    await send({"type": "http.response.body", "body": body})
