"""One writer at a time at SQLite: requests, Prefect's background services and backups share one queue.

SQLite lets one connection write. Who comes while another writes is either blocked in a thread or, in
a transaction that has already read, refused at once ("database is locked"). Here everybody waits for
a turn before a connection is taken, in order of arrival; requests and services alternate, so that a
flood of the one does not starve the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum

# As long as Prefect lets SQLite itself wait (its busy_timeout). Longer than any backup holds.
PATIENCE_S = 60.0


class Origin(Enum):
    """Who asks for a turn."""

    REQUEST = "request"
    SERVICE = "service"


@dataclass(eq=False)
class Turn:
    """The right to write, until it ends."""

    ends_at: asyncio.TimerHandle | None = None
    active: bool = True


ORIGIN: ContextVar[Origin] = ContextVar("roost_origin", default=Origin.SERVICE)
_TURN: ContextVar[Turn | None] = ContextVar("roost_turn", default=None)


class WriteQueue:
    """Gives turns, first come, first served, and alternates between requests and services.

    A turn is given back when its block ends, however it ends. It must never be the reason why nobody
    writes any more: what is called within a turn passes through, and a turn that lasts too long is
    overtaken. Then SQLite's own lock decides, as it does in a server without this queue.

    Args:
        patience_s: how long others wait for one turn.
        before_service: what a service waits for before it asks for a turn, such as room to write.
    """

    def __init__(
        self,
        patience_s: float = PATIENCE_S,
        before_service: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._patience_s = patience_s
        self._before_service = before_service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._holder: Turn | None = None
        self._waiting: dict[Origin, deque[asyncio.Future[Turn]]] = {
            origin: deque() for origin in Origin
        }
        self._last = Origin.SERVICE

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn and keep it for the block."""
        if self.is_inside() or self._is_elsewhere():
            yield
            return
        if self._before_service and ORIGIN.get() is Origin.SERVICE:
            await self._before_service()
        turn = await self._take(ORIGIN.get())
        token = _TURN.set(turn)
        try:
            yield
        finally:
            self._end(turn)
            _TURN.reset(token)

    def is_taken(self) -> bool:
        """Return whether somebody has the turn."""
        return self._holder is not None

    def is_inside(self) -> bool:
        """Return whether whoever asks was called by the holder of the turn, who would wait for itself."""
        turn = _TURN.get()
        return turn is not None and turn.active

    def _is_elsewhere(self) -> bool:
        """Return whether this is another event loop than the server's, which cannot wait here."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        return loop is not self._loop

    async def _take(self, origin: Origin) -> Turn:
        if self._holder is None:
            return self._give(origin)
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[origin].append(waiter)
        try:
            turn: Turn = await waiter
        except asyncio.CancelledError:
            # It may have been given in the very moment in which we are cancelled.
            if waiter.done() and not waiter.cancelled():
                self._end(waiter.result())
            raise
        return turn

    def _give(self, origin: Origin) -> Turn:
        self._last = origin
        turn = self._holder = Turn()
        turn.ends_at = asyncio.get_running_loop().call_later(
            self._patience_s, self._lose_patience, turn
        )
        return turn

    def _end(self, turn: Turn) -> None:
        if not turn.active:
            return
        turn.active = False
        if turn.ends_at:
            turn.ends_at.cancel()
        self._holder = None
        self._serve_next()

    def _serve_next(self) -> None:
        others = Origin.REQUEST if self._last is Origin.SERVICE else Origin.SERVICE
        for origin in (others, self._last):
            while self._waiting[origin]:
                waiter = self._waiting[origin].popleft()
                if not waiter.done():  # else it was cancelled
                    waiter.set_result(self._give(origin))
                    return

    def _lose_patience(self, turn: Turn) -> None:
        if any(self._waiting.values()):
            print(
                f"roost: a writer kept its turn for {self._patience_s:g} s; the next one goes on",
                flush=True,
            )
        self._end(turn)
