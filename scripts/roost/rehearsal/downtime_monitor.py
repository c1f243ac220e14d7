"""A monitor that asks a server for its health all the time, and measures its longest downtime."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import httpx

from roost.prefect.transport import OpenServer

PAUSE_S = 0.02
PATIENCE_S = 30.0


class Downtime:
    """The longest time between two good answers so far, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self.silence_s = 0.0

    def answered(self, *, well: bool) -> None:
        """Record an answer; a bad one extends the downtime."""
        now = self._clock()
        self.silence_s = max(self.silence_s, now - self._last)
        if well:
            self._last = now


@asynccontextmanager
async def monitor_downtime(
    open_server: OpenServer, url: str, clock: Callable[[], float]
) -> AsyncIterator[Downtime]:
    """Monitor the server inside the block, and ask once more at its end."""
    async with open_server(url, PATIENCE_S) as http:
        await is_healthy(http)  # wakes a sleeping server, which does not count as downtime
        found, failure = Downtime(clock), None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_ask, http, found)
            try:
                yield found
            except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it, and nobody would know it
                failure = error
            finally:
                tasks.cancel_scope.cancel()
        found.answered(well=await is_healthy(http))
    if failure:
        raise failure


async def _ask(http: httpx.AsyncClient, found: Downtime) -> None:
    while True:
        await anyio.sleep(PAUSE_S)
        found.answered(well=await is_healthy(http))


async def is_healthy(http: httpx.AsyncClient) -> bool:
    """Return whether the server answers its health check."""
    try:
        return (await http.get("/api/health")).is_success
    except httpx.HTTPError:
        return False
