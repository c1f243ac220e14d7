"""A Fly with scripted answers: one for each request, and the last one for all further requests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import stamina

from helpers import virtual_time
from roost.errors import RoostError
from roost.fly.client import FlyClient
from roost.secret_text import SecretText

T = TypeVar("T")
TOKEN = "fm2_the-token-of-the-test"
Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


@dataclass
class ScriptedFly:
    """Sends its answers in order, and records the requests."""

    answers: list[Answer]
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def says(status: int, body: Any = None, **headers: str) -> httpx.Response:
    """Return an answer; header names with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, bytes):
        return httpx.Response(status, content=body, headers=named)
    if body is None:
        return httpx.Response(status, headers=named)
    # In ASCII: a text may hold half a character, which JSON can write and UTF-8 cannot.
    content = json.dumps(body, separators=(",", ":")).encode()
    return httpx.Response(
        status, content=content, headers={"content-type": "application/json", **named}
    )


def ask(call: Callable[[FlyClient], Awaitable[T]], *answers: Answer, **options: Any):
    """Make calls against scripted answers; return the result or the error, and that Fly.

    Retries are counted, but do not wait.
    """
    fly = ScriptedFly(list(answers))
    token = options.pop("token", SecretText(TOKEN))

    async def run():
        transport = httpx.MockTransport(fly)
        async with FlyClient("http://fly.test", token, transport=transport, **options) as client:
            assert TOKEN not in repr(client)
            return await call(client)

    with stamina.set_testing(True, attempts=20, cap=True):
        try:
            return virtual_time.run(run), fly
        except RoostError as error:
            return error, fly
