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
SLOT_LIMIT_S = 60.0


class Origin(Enum):
    """Who asks for a slot."""

    REQUEST = "request"
    SERVICE = "service"


@dataclass(eq=False)
class WriteSlot:
    """The right to write, until it ends."""

    ends_at: asyncio.TimerHandle | None = None
    active: bool = True


ORIGIN: ContextVar[Origin] = ContextVar("roost_origin", default=Origin.SERVICE)
_SLOT: ContextVar[WriteSlot | None] = ContextVar("roost_write_slot", default=None)


class WriteQueue:
    """Gives turns, first come, first served, and alternates between requests and services.

    A turn is given back when its block ends, however it ends. It must never be the reason why nobody
    writes any more: what is called within a turn passes through, and a turn that lasts too long is
    overtaken. Then SQLite's own lock decides, as it does in a server without this queue.

    Args:
        limit_s: how long others wait for one slot.
        before_service: what a service waits for before it asks for a turn, such as room to write.
    """

    def __init__(
        self,
        limit_s: float = SLOT_LIMIT_S,
        before_service: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._limit_s = limit_s
        self._before_service = before_service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._current: WriteSlot | None = None
        self._waiting: dict[Origin, deque[asyncio.Future[WriteSlot]]] = {
            origin: deque() for origin in Origin
        }
        self._last = Origin.SERVICE

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for the turn and keep it for the block."""
        if self.has_slot() or self._is_elsewhere():
            yield
            return
        if self._before_service and ORIGIN.get() is Origin.SERVICE:
            await self._before_service()
        slot = await self._acquire(ORIGIN.get())
        token = _SLOT.set(slot)
        try:
            yield
        finally:
            self._release(slot)
            _SLOT.reset(token)

    def is_taken(self) -> bool:
        """Return whether somebody has the slot."""
        return self._current is not None

    def has_slot(self) -> bool:
        """Return whether whoever asks was called by the holder of the turn, who would wait for itself."""
        slot = _SLOT.get()
        return slot is not None and slot.active

    def _is_elsewhere(self) -> bool:
        """Return whether this is another event loop than the server's, which cannot wait here."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        return loop is not self._loop

    async def _acquire(self, origin: Origin) -> WriteSlot:
        if self._current is None:
            return self._grant(origin)
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[origin].append(waiter)
        try:
            slot: WriteSlot = await waiter
        except asyncio.CancelledError:
            # It may have been given in the very moment in which we are cancelled.
            if waiter.done() and not waiter.cancelled():
                self._release(waiter.result())
            raise
        return slot

    def _grant(self, origin: Origin) -> WriteSlot:
        self._last = origin
        slot = self._current = WriteSlot()
        slot.ends_at = asyncio.get_running_loop().call_later(self._limit_s, self._expire, slot)
        return slot

    def _release(self, slot: WriteSlot) -> None:
        if not slot.active:
            return
        slot.active = False
        if slot.ends_at:
            slot.ends_at.cancel()
        self._current = None
        self._serve_next()

    def _serve_next(self) -> None:
        others = Origin.REQUEST if self._last is Origin.SERVICE else Origin.SERVICE
        for origin in (others, self._last):
            while self._waiting[origin]:
                waiter = self._waiting[origin].popleft()
                if not waiter.done():  # else it was cancelled
                    waiter.set_result(self._grant(origin))
                    return

    def _expire(self, slot: WriteSlot) -> None:
        if any(self._waiting.values()):
            print(
                f"roost: a writer kept its turn for {self._limit_s:g} s; the next one goes on",
                flush=True,
            )
        self._release(slot)
