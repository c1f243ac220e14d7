"""Let one writer at a time use SQLite: requests, Prefect's services and backups share one queue.

SQLite lets one connection write. A second one blocks its thread, or, in a transaction that has
already read, fails at once ("database is locked"). Here a writer waits for a slot before it takes a
connection, in order of arrival. Requests and services alternate, so that many requests do not
starve the services.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum

# As long as SQLite itself waits with Prefect's settings (busy_timeout), and longer than a backup.
SLOT_LIMIT_S = 60.0


class Origin(Enum):
    """What asks for a slot."""

    REQUEST = "request"
    SERVICE = "service"


@dataclass(eq=False)
class WriteSlot:
    """The right to write, until it is released."""

    ends_at: asyncio.TimerHandle | None = None
    active: bool = True


ORIGIN: ContextVar[Origin] = ContextVar("roost_origin", default=Origin.SERVICE)
_SLOT: ContextVar[WriteSlot | None] = ContextVar("roost_write_slot", default=None)


class WriteQueue:
    """Grants write slots in order of arrival, alternating between requests and services.

    A slot is released when its block ends, in any way. The queue itself must never stop all
    writing, so calls within a slot pass through, and a slot that lasts too long is taken away.
    SQLite's own lock then decides, as in a server without this queue.

    Args:
        limit_s: the longest time that others wait for one slot, in seconds.
        before_service: awaited before a service asks for a slot; it may wait for room to write.
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
        """Wait for a slot and keep it for the block."""
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
        """Return whether a slot is granted now."""
        return self._current is not None

    def has_slot(self) -> bool:
        """Return whether the caller runs within the granted slot and would wait for itself."""
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
            # The slot may have been granted in the same moment; nothing else would release it.
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
                if not waiter.done():  # a done one was cancelled
                    waiter.set_result(self._grant(origin))
                    return

    def _expire(self, slot: WriteSlot) -> None:
        if any(self._waiting.values()):
            print(
                f"roost: a writer kept its slot for {self._limit_s:g} s; the next one continues",
                flush=True,
            )
        self._release(slot)
