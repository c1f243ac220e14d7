"""A GitHub with scripted answers: one for each request, and the last one for all further requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import stamina

from helpers import virtual_time
from helpers.fly_answers import Answer, ScriptedFly
from roost.errors import RoostError
from roost.github.api import GitHub
from roost.secret_text import SecretText

T = TypeVar("T")
TOKEN = "ghs_the-token-of-the-test"
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def ask_github(call: Callable[[GitHub], Awaitable[T]], *answers: Answer, **options: Any):
    """Make calls against scripted answers; return the result or the error, and the requests.

    Retries are counted, but do not wait.
    """
    script = ScriptedFly(list(answers))

    async def run():
        transport = httpx.MockTransport(script)
        async with GitHub(
            "http://github.test/api/v3",
            "acme/infra",
            SecretText(TOKEN),
            transport=transport,
            now=lambda: NOW,
            **options,
        ) as github:
            assert TOKEN not in repr(github)
            return await call(github)

    with stamina.set_testing(True, attempts=20, cap=True):
        try:
            return virtual_time.run(run), script.asked
        except RoostError as error:
            failure = error
    assert TOKEN not in f"{failure!r} {failure} {vars(failure)}"
    return failure, script.asked
