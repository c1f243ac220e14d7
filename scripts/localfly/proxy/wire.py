"""One connection of the proxy over asyncio's transports, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, cast

from localfly.proxy.http1 import RequestReader, ResponseReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from localfly.proxy.messages import Event

_QUEUE_BYTES = 256 * 1024  # read ahead of the other side; asyncio reads as much at once
_HALF_OPEN_S = 1.0
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: on, for 0 seconds


class Signal:
    """Wakes the one task that serves a client, whichever of its connections changed."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[bool] | None = None
        self._set = False

    def set(self) -> None:
        """Wake the task, or let its next wait return at once."""
        self._set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    async def wait(self, until: float | None = None) -> bool:
        """Wait for a change; return False if `until` (the loop's time) came first."""
        if not self._set:
            loop = asyncio.get_running_loop()
            waiter = self._waiter = loop.create_future()
            timer = None if until is None else loop.call_at(until, _expire, waiter)
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        changed, self._set = self._set, False
        return changed


class Wire(asyncio.Protocol):
    """A socket: what it received waits in `events`, until the task that serves it takes it.

    Attributes:
        writable: Whether more may be written; False while the other side reads too slowly.
        ended: Whether the other side sends no more.
        lost: Whether the connection is gone.
    """

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.events: deque[Event] = deque()
        self.writable = True
        self.ended = False
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._take: Callable[[bytes], None] = self._drop
        self._queued = 0
        self._paused = False
        self._target: Wire | None = None
        self._left = 0

    # Calls of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take data, and stop reading while too much of it waits."""
        if self._target is not None:
            data = self._forward(self._target, data)
            if not data:
                return
        self._take(data)
        self._queued += len(data)
        if self._queued >= _QUEUE_BYTES and (self.events or self._holds()):
            self._pause()
        self.signal.set()

    def eof_received(self) -> bool:
        """See that the other side sends no more; it may still read."""
        self.ended = True
        self._end_of_input()
        self.signal.set()
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        """See that the connection is gone."""
        self.ended = self.lost = self.writable = True
        self.signal.set()

    def pause_writing(self) -> None:
        """See that the other side reads too slowly."""
        self.writable = False

    def resume_writing(self) -> None:
        """See that the other side has read."""
        self.writable = True
        self.signal.set()

    # Calls of the task that serves it

    @property
    def peer(self) -> str:
        """The address of the other side."""
        name = self._transport and self._transport.get_extra_info("peername")
        return str(name[0]) if name else "127.0.0.1"

    def write(self, data: bytes) -> None:
        """Send data; what is written to a lost connection is dropped."""
        if self._transport is not None and not self.lost:
            self._transport.write(data)

    @property
    def left(self) -> int:
        """How many bytes still go to another wire as they come."""
        return self._left

    def forward(self, target: Wire, size: int) -> None:
        """Pass the next `size` bytes to another wire as they come, beside parser and task.

        A large body costs little then. `_forwarded` tells the parser where it goes on.
        """
        self._target, self._left = target, size

    def taken(self) -> None:
        """Go on reading, once nothing waits."""
        self._queued = 0
        if self._paused:
            self._paused = False
            if self._transport is not None and not self.lost:
                self._transport.resume_reading()

    async def linger(self, pause_s: float) -> None:
        """Let the client read a response that was sent before the request ended.

        Closing with unread bytes makes the kernel reset the connection and drop the response.
        """
        self._target, self._take = None, self._drop
        self.events.clear()
        self.taken()
        with contextlib.suppress(OSError, RuntimeError):
            if self._transport is not None and not self.lost:
                self._transport.write_eof()
        await self._written(pause_s)
        until = asyncio.get_running_loop().time() + _HALF_OPEN_S
        while not self.ended and await self.signal.wait(until):
            self.taken()

    async def close(self, pause_s: float) -> None:
        """Close the connection after what was written is delivered.

        It stays open where the other side reads none of it for `pause_s` seconds.
        """
        if self._transport is not None:
            self._transport.close()
        await self._written(pause_s)
        until = asyncio.get_running_loop().time() + _HALF_OPEN_S
        while not self.lost and await self.signal.wait(until):
            pass

    def abort(self) -> None:
        """Close the connection at once; what was written and not delivered is dropped."""
        if self._transport is not None and not self.lost:  # asyncio refuses a second end
            self._transport.abort()

    def reset(self) -> None:
        """Close the connection at once, with a reset: the other side sees that data is missing.

        After an ordinary close, a response to HTTP/1.0 would look whole.
        """
        if self._transport is not None and not self.lost:
            with contextlib.suppress(OSError):
                open_socket = self._transport.get_extra_info("socket")
                open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._transport.abort()

    def tunnel(self, early: bytes) -> None:
        """Take what comes as it is from now on, beginning with `early`."""
        self.events = deque([early] if early else [])
        self._take = self.events.append

    async def _written(self, pause_s: float) -> None:
        """Wait until all that was written is with the kernel, while the other side reads."""
        transport = self._transport
        if transport is None:
            return
        transport.set_write_buffer_limits(high=0)  # `resume_writing` tells when it is empty
        loop = asyncio.get_running_loop()
        left = transport.get_write_buffer_size()
        until = loop.time() + pause_s
        while not self.lost and transport.get_write_buffer_size():
            if await self.signal.wait(until):
                self.taken()
                continue
            before, left = left, transport.get_write_buffer_size()
            if left >= before:
                return
            until = loop.time() + pause_s

    def _forward(self, target: Wire, data: bytes) -> bytes:
        """Pass on what belongs to the other wire; return the rest."""
        part, rest = (
            (data, b"") if len(data) <= self._left else (data[: self._left], data[self._left :])
        )
        self._left -= len(part)
        target.write(part)
        if not target.writable:
            self._pause()
        if not self._left:
            self._target = None
            self._forwarded()
            self.signal.set()
        return rest

    def _forwarded(self) -> None:
        """Go on after the bytes for another wire."""

    def _drop(self, _data: bytes) -> None:
        """Take data that nobody wants."""

    def _holds(self) -> bool:
        """Return whether data waits beside the events."""
        return False

    def _end_of_input(self) -> None:
        """Take the end of what is sent."""

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self.lost:
            self._paused = True
            self._transport.pause_reading()


class ClientWire(Wire):
    """The connection of a client, and its requests."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        self.reader = RequestReader()
        self.events = self.reader.events
        self._take = self.reader.feed

    def _holds(self) -> bool:
        return self.reader.rest_bytes > 0

    def _forwarded(self) -> None:
        self.reader.skip_body()


class MachineWire(Wire):
    """A connection to a machine, and the responses to one request after the other."""

    def __init__(self) -> None:
        super().__init__(Signal())
        self.reader: ResponseReader | None = None
        self._unasked = False
        self._take = self._mark

    @property
    def idle_and_open(self) -> bool:
        """Whether a new request can be sent on it."""
        return not (self.ended or self.lost or self._unasked)

    def begin(self, method: bytes, signal: Signal) -> None:
        """Read the response to a request; `signal` tells what comes."""
        self.signal = signal
        self.reader = ResponseReader(method)
        self.events = self.reader.events
        self._take = self.reader.feed

    def rest(self) -> bool:
        """Prepare for another request; return False if the connection has to close."""
        reader, self.reader = self.reader, None
        self._unasked = self._unasked or reader is None or not reader.reusable
        self._take = self._mark
        self.signal = Signal()
        self.taken()
        return self.idle_and_open and self.writable

    def _forwarded(self) -> None:
        if self.reader is not None:
            self.reader.skip_body()

    def _mark(self, _data: bytes) -> None:
        """See that the machine sends what was not asked for."""
        self._unasked = True

    def _end_of_input(self) -> None:
        if self.reader is not None:
            self.reader.end()


def _expire(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
