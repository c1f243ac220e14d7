"""Freeze writes to the database of a server of our image (deploy/roost_server/write_freeze.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import anyio
import httpx

from roost.http.messages import one_line
from roost.prefect.gate_pages import GATE_HEADERS
from roost.prefect.transport import basic
from roost.secret_text import SecretText

HOLD_PATH = "/roost/hold"
BEGUN = "held"
"""The first line of the answer, once writes are frozen."""
# The request wakes a sleeping server; the wait for one that does not start is shorter than the gate's.
BEGIN_LIMIT_S = 45
ATTEMPTS = 3
LOOK_S = 0.05


# 409 comes with a reason; older images passed the request on to Prefect, which has no such page.
NOTHING_TO_FREEZE = frozenset(
    {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
)
MAX_REASON = 160


class NotFrozenError(Exception):
    """The server does not freeze its writes; says why."""


class NothingToFreezeError(NotFrozenError):
    """The server's database is no file on its volume; says which one it is."""


@dataclass(frozen=True)
class Freeze:
    """A write freeze that began."""

    lines: AsyncIterator[str]

    async def lasts(self) -> bool:
        """Return whether the freeze lasts: the server ends its answer when it resumes writing."""
        with anyio.move_on_after(LOOK_S) as look:
            try:
                await anext(self.lines)
            except (StopAsyncIteration, httpx.HTTPError):
                return False
        return look.cancelled_caught


@asynccontextmanager
async def freeze_writes(http: httpx.AsyncClient, auth: SecretText | None) -> AsyncIterator[Freeze]:
    """Freeze writes until the body ends; the server limits for how long.

    Raises:
        NothingToFreezeError: the database is no file on the volume.
        NotFrozenError: the freeze did not begin.
    """
    answer, lines = await _begin(http, auth)
    try:
        yield Freeze(lines)
    finally:
        with anyio.CancelScope(shield=True):
            await answer.aclose()  # the server resumes writing when the connection closes


async def _begin(
    http: httpx.AsyncClient, auth: SecretText | None
) -> tuple[httpx.Response, AsyncIterator[str]]:
    login = basic(auth) if auth else {}
    request = http.build_request("POST", HOLD_PATH, headers={**GATE_HEADERS, **login})
    status = 0
    try:
        with anyio.fail_after(BEGIN_LIMIT_S):
            for attempt in range(ATTEMPTS):
                answer = await http.send(request, stream=True)
                status = answer.status_code
                if status == HTTPStatus.OK:
                    return answer, await _first_line(answer)
                reason = await _reason(answer) if status in NOTHING_TO_FREEZE else ""
                await answer.aclose()
                if status in NOTHING_TO_FREEZE:
                    raise NothingToFreezeError(reason)
                if status != HTTPStatus.SERVICE_UNAVAILABLE:
                    break
                await anyio.sleep(attempt)
    except TimeoutError:
        raise NotFrozenError(f"it did not answer within {BEGIN_LIMIT_S} s") from None
    except httpx.HTTPError as failure:
        raise NotFrozenError(f"it cannot be reached: {type(failure).__name__}") from failure
    raise NotFrozenError(f"it answered {status}")


async def _reason(answer: httpx.Response) -> str:
    """Return the server's reason; the answer of an older image has none."""
    if answer.status_code != HTTPStatus.CONFLICT:
        return f"it answered {answer.status_code}: it has no database on its volume"
    return one_line((await answer.aread()).decode(errors="replace"), MAX_REASON)


async def _first_line(answer: httpx.Response) -> AsyncIterator[str]:
    lines = answer.aiter_lines()
    if await anext(lines, "") != BEGUN:
        await answer.aclose()
        raise NotFrozenError("it answered something else than our image does")
    return lines
