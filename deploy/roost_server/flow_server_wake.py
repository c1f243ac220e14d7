"""Wake a flow server by a request to its private address: Fly's proxy starts its machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from roost_server.flow_servers import FlowServer
from roost_server.last_error import name_failure
from roost_server.private_http import open_client

LIMIT_S = 60.0
"""How long Fly's proxy may take to start the machine and answer."""
FIRST_BACKOFF_S, LAST_BACKOFF_S = 5.0, 60.0
ENDED_S = 300.0
"""Attempts are forgotten when there was none for this many awake seconds: nothing waits any more."""
GIVE_UP_S = 900.0
"""After this many seconds of failed wakes a due run does not keep the server awake any longer."""

Get = Callable[[str], Awaitable[int]]
"""Requests an address and returns the status of the reply."""


class WakeError(Exception):
    """A flow server's address did not answer as an address of Fly does."""


@dataclass
class Waking:
    """The attempts to wake one flow server since it was last seen.

    Args:
        since: when the first attempt began, in awake seconds of this server.
        boot: the newest start then.
        last: when the last attempt began, on the same clock as `since`.
        count: how many attempts ended.
        again_at: when the next attempt may begin, in seconds of the monotonic clock.
        error: why the last attempt failed; empty if it was answered.
        task: the attempt that is under way.
    """

    since: float
    boot: str
    last: float
    count: int = 0
    again_at: float = 0.0
    error: str = ""
    task: asyncio.Task[None] | None = None


class Waker:
    """Wakes flow servers, with an increasing back-off while they do not ask for work.

    Args:
        awake_s: returns for how many seconds this server has been awake.
        get: requests an address.
        clock: returns seconds of the monotonic clock.
    """

    def __init__(
        self,
        awake_s: Callable[[], float],
        get: Get | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._awake_s = awake_s
        self._get = get or request
        self._clock = clock
        self._waking: dict[str, Waking] = {}

    def wake(self, record: FlowServer, *, at_once: bool = False) -> None:
        """Begin a request to its address, unless one is under way or the back-off is not over."""
        now = self._awake_s()
        if not (waking := self._known(record.name)):
            waking = self._waking[record.name] = Waking(now, record.boot, now)
        is_under_way = waking.task is not None and not waking.task.done()
        if is_under_way or (not at_once and self._clock() < waking.again_at):
            return
        waking.last = now
        waking.task = asyncio.create_task(self._request(record, waking))

    def forget(self, name: str) -> None:
        """Forget the attempts: the flow server asks for work, or was given up."""
        self._waking.pop(name, None)

    def is_waking(self, name: str) -> bool:
        """Return whether it was requested to wake and did not ask for work since."""
        return self._known(name) is not None

    def error(self, name: str) -> str:
        """Return why the last attempt failed; empty if there was none or it was answered."""
        waking = self._known(name)
        return waking.error if waking else ""

    def gave_up(self, name: str) -> bool:
        """Return whether a flow server was not to be woken for so long that nobody waits for it."""
        waking = self._known(name)
        return waking is not None and self._awake_s() - waking.since > GIVE_UP_S

    def silent(self, name: str) -> Waking | None:
        """Return the attempts, if the last one was answered and nobody waits for it any longer."""
        waking = self._known(name)
        return (
            waking if waking and waking.count and not waking.error and self.gave_up(name) else None
        )

    def _known(self, name: str) -> Waking | None:
        """Return the attempts to wake a flow server, if they go on."""
        waking = self._waking.get(name)
        return waking if waking and self._awake_s() - waking.last <= ENDED_S else None

    async def _request(self, record: FlowServer, waking: Waking) -> None:
        try:
            status = await self._get(record.address)
            if status >= 400:  # noqa: PLR2004 - the first status that is an error
                raise WakeError(f"status {status}")  # noqa: TRY301 - all failures are handled alike
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and tried again
            waking.error = name_failure(error)
            print(
                f"roost: cannot wake flow server {record.name} at {record.address}: "
                f"{waking.error}; trying again",
                flush=True,
            )
        else:
            waking.error = ""
            print(f"roost: woke flow server {record.name}", flush=True)
        backoff = min(FIRST_BACKOFF_S * 2**waking.count, LAST_BACKOFF_S)
        waking.count += 1
        waking.again_at = self._clock() + backoff


async def request(address: str) -> int:
    """Request an address and return the status; the environment's proxies are not used.

    Raises:
        httpx.HTTPError: it does not answer within LIMIT_S.
    """
    async with open_client(address, LIMIT_S) as client:
        return (await client.get(f"{address.rstrip('/')}/")).status_code
