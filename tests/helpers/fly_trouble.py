"""Failures of the n-th call to a fake Fly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import httpx

from helpers.fake_fly import FakeFly
from helpers.fly_answers import says


class KilledError(BaseException):
    """A simulated kill: no handler may make another call."""


class TroubledFly:
    """Forwards calls to Fly; the n-th fails, and after a kill all calls fail."""

    def __init__(self, fly: FakeFly, trouble: Trouble, nth: int) -> None:
        self.fly = fly
        self.scope: anyio.CancelScope | None = None
        """What Ctrl-C cancels; set by the run."""
        self.dead = False
        self._trouble = trouble
        self._left = nth

    @property
    def happened(self) -> bool:
        """Return whether there was an n-th call."""
        return self._left <= 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if self.dead:
            raise KilledError
        self._left -= 1
        return await self._trouble(self, request) if self._left == 0 else self.fly(request)


Trouble = Callable[[TroubledFly, httpx.Request], Awaitable[httpx.Response]]


async def loses_the_answer(troubled: TroubledFly, request: httpx.Request) -> httpx.Response:
    """Carry the call out, and close the connection without an answer."""
    troubled.fly(request)
    raise httpx.ReadError("reset")


async def never_answers(_: TroubledFly, __: httpx.Request) -> httpx.Response:
    """Do not carry the call out, and do not answer."""
    raise httpx.ReadTimeout("late")


async def refuses(_: TroubledFly, __: httpx.Request) -> httpx.Response:
    """Do not carry the call out, and answer 403."""
    return says(403, {"error": "not allowed"})


async def is_followed_by_a_kill(troubled: TroubledFly, request: httpx.Request) -> httpx.Response:
    """Carry the call out, and kill the process before the answer."""
    troubled.dead = True
    troubled.fly(request)
    raise KilledError


async def is_forestalled_by_a_kill(troubled: TroubledFly, _: httpx.Request) -> httpx.Response:
    """Kill the process before the call is sent."""
    troubled.dead = True
    raise KilledError


async def is_followed_by_ctrl_c(troubled: TroubledFly, request: httpx.Request) -> httpx.Response:
    """Carry the call out, and cancel the run, which may still clean up."""
    answer = troubled.fly(request)
    assert troubled.scope is not None
    troubled.scope.cancel()
    await anyio.lowlevel.checkpoint()
    return answer


TROUBLES: tuple[Trouble, ...] = (
    loses_the_answer,
    never_answers,
    refuses,
    is_followed_by_a_kill,
    is_forestalled_by_a_kill,
    is_followed_by_ctrl_c,
)
