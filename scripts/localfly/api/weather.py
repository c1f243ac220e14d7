"""Let the Machines API have the troubles that Fly's has: slow, refusing, full, forgetful.

What strikes a request is decided by the seed, by what is asked (without ids), and by how often that was
asked before: the same requests have the same troubles, in whatever order clients send them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localfly.runtime.machine_sockets import MACHINE_SCOPE
from localfly.state.weather import Weather

_LOG = logging.getLogger(__name__)

Json = Any
_TOO_MANY = 429
_OK = range(200, 300)
_ID = re.compile(r"/(machines|volumes|secrets|ip_assignments|certificates|metadata|apps)/[^/]+")
_MACHINE = re.compile(r"^GET /apps/\*/machines/\*(/wait)?$")
_LIST = re.compile(r"^GET /apps/\*/(machines|volumes)$")
_CREATE = re.compile(r"^POST /apps/\*/(machines|volumes)$")
_NEEDS_ROOM = re.compile(r"^POST /apps/\*/(volumes|machines(/\*(/start)?)?)$")

# What a request gets without an effect. Bodies as Fly and the balancers before it send them.
REFUSALS = (
    (500, {"error": "internal server error"}),
    (502, {"error": "bad gateway"}),
    (503, {"error": "service unavailable"}),
    (504, {"error": "gateway timeout"}),
)
# Seen on Fly: the status differs by what was asked, so clients go by the text and `status`.
NO_ROOM = (
    (412, {"error": "insufficient resources to create new machine with existing volume"}),
    (
        409,
        {"error": "aborted: could not reserve resource for machine: insufficient memory available"},
    ),
    (422, {"error": "no room in the region", "status": "insufficient_capacity"}),
)
OVER_LIMIT = {"error": "rate limit exceeded"}
# Fly documents: each action on a machine once a second, three at once; a read of a machine five times a
# second, ten at once. It documents no header, and no other rate.
_RATE, _BURST = 1.0, 3.0
_READ_RATE, _READ_BURST = 5.0, 10.0


class Buckets:
    """Counts requests by what they act on; `now` is monotonic, in seconds."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, what: str, rate: float, burst: float, now: float) -> bool:
        """Return whether one more request is allowed."""
        left, since = self._left.get(what, (burst, now))
        left = min(burst, left + (now - since) * rate)
        allowed = left >= 1
        self._left[what] = (left - 1 if allowed else left, now)
        return allowed


@dataclass
class _Answer:
    """An answer of the API that was not sent yet."""

    start: Message = field(default_factory=dict)
    body: bytes = b""

    async def take(self, message: Message) -> None:
        """Take a part of it."""
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    async def send(self, send: Send) -> None:
        """Send it with its present body."""
        headers = [pair for pair in self.start["headers"] if pair[0] != b"content-length"]
        if self.start["status"] not in (204, 304):
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({**self.start, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    async def cut(self, send: Send) -> None:
        """Send its head alone, so that the server closes the connection where the body is missing."""
        await send({**self.start, "headers": [(b"content-length", b"%d" % (len(self.body) + 1))]})
        await send({"type": "http.response.body", "body": self.body[:1], "more_body": True})


class BadWeather:
    """Strikes requests to `/v1`; a machine's own socket and the local Fly's endpoints are spared.

    Args:
        app: the application.
        weather: which troubles there are.
        now: a monotonic clock, in seconds.
    """

    def __init__(
        self, app: ASGIApp, weather: Weather, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._weather = weather
        self._now = now
        self._asked: Counter[str] = Counter()
        self._buckets = Buckets()
        self._born: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request in this weather."""
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or not path.startswith("/v1/") or MACHINE_SCOPE in scope:
            await self._app(scope, receive, send)
            return
        where = path.removeprefix("/v1")
        kind = _ID.sub(r"/\1/*", where)
        call = f"{scope['method']} {kind}"
        dice = self._dice(call)
        await asyncio.sleep(dice.random() * self._weather.latency_s)
        refusal = self._refusal(call, where, dice)
        if refusal is not None:
            status, body = refusal
            _LOG.warning("weather: %d for %s", status, call)
            await JSONResponse(body, status)(scope, receive, send)
            return
        lost = scope["method"] != "GET" and dice.random() < self._weather.lost
        answer = _Answer()
        await self._app(scope, receive, answer.take)
        if not answer.start:
            return  # the client is gone
        self._forget(call, answer)
        if not lost:
            await answer.send(send)
        elif dice.choice((True, False)):
            _LOG.warning("weather: the answer to %s is cut", call)
            await answer.cut(send)
        else:
            _LOG.warning("weather: 502 for %s, which was carried out", call)
            await JSONResponse({"error": "bad gateway"}, 502)(scope, receive, send)

    def _dice(self, call: str) -> random.Random:
        """Return the dice of a call, which depend on how often it was made before."""
        self._asked[call] += 1
        return random.Random(f"{self._weather.seed} {call} {self._asked[call]}")  # noqa: S311 - weather is no secret

    def _refusal(self, call: str, where: str, dice: random.Random) -> tuple[int, Json] | None:
        """Return the error that a request gets instead of being carried out."""
        weather, now = self._weather, self._now()
        read = _MACHINE.match(call) is not None
        rates = (_READ_RATE, _READ_BURST) if read else (_RATE, _BURST)
        what = f"{call.partition(' ')[0]} {where}"
        if weather.rate_limits and not self._buckets.take(what, *rates, now):
            return _TOO_MANY, OVER_LIMIT
        if dice.random() < weather.refused:
            return dice.choice(REFUSALS)
        if _NEEDS_ROOM.match(call) and dice.random() < weather.no_capacity:
            return dice.choice(NO_ROOM)
        if read and self._unseen(where.removesuffix("/wait").rpartition("/")[2]):
            return 404, {"error": "machine not found"}
        return None

    def _forget(self, call: str, answer: _Answer) -> None:
        """Note what was made, and leave out of lists what is not to be seen yet."""
        if answer.start["status"] not in _OK or not self._weather.unseen_s:
            return
        if _CREATE.match(call):
            self._born[json.loads(answer.body)["id"]] = self._now()
        elif _LIST.match(call):
            seen = [one for one in json.loads(answer.body) if not self._unseen(one["id"])]
            answer.body = json.dumps(seen).encode()

    def _unseen(self, made: str) -> bool:
        return self._now() - self._born.get(made, float("-inf")) < self._weather.unseen_s
