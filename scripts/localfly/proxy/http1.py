"""One HTTP/1.1 connection over asyncio streams, parsed by h11 and never read faster than used."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import h11

CHUNK_BYTES = 64 * 1024
HEAD_BYTES = 64 * 1024  # a request or answer whose head is larger is refused (431, 502)
_HALF_OPEN_S = 1.0

Event = Any
"""One of h11's events, or its NEED_DATA or PAUSED marks; h11 has no common type for them."""


class Wire:
    """One side of the proxy: a socket, and the state of the HTTP on it."""

    def __init__(
        self,
        role: type[h11.CLIENT | h11.SERVER],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=HEAD_BYTES)
        self.reader = reader
        self.writer = writer

    async def receive(self) -> Event:
        """Read up to the next event.

        Raises:
            h11.RemoteProtocolError: What came is not HTTP; it hints at the status to answer with.
            ConnectionError: The other side reset the connection.
        """
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(CHUNK_BYTES))
        return event

    async def receive_ready(self) -> list[Event]:
        """Read up to the next event, and take along what came in one piece with it.

        Raises:
            As `receive`; what came before a fault in the same piece is lost with it.
        """
        events = [await self.receive()]
        while self.http.their_state is h11.SEND_BODY:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                break
            events.append(event)
        return events

    async def send(self, *events: Event) -> None:
        """Write events at once and wait until the other side has room again."""
        self.writer.write(b"".join(filter(None, map(self.http.send, events))))
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Return when the other side hangs up; what it sends before that is kept for later."""
        while self.http.trailing_data == (b"", False):
            data = await self.reader.read(CHUNK_BYTES)
            if not data:
                return
            self.http.receive_data(data)
        await asyncio.get_running_loop().create_future()

    @property
    def idle_and_open(self) -> bool:
        """Whether a new exchange may begin on it, as far as can be known without trying."""
        return (
            not self.reader.at_eof()
            and not self.writer.is_closing()
            and self.http.our_state is h11.IDLE
        )

    def try_next_cycle(self) -> bool:
        """Get ready for another exchange; False when the connection has to end."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            return True
        return False

    async def linger(self) -> None:
        """Let an answer arrive that came before the request's end.

        Closing on unread bytes makes the kernel reset the connection and drop the answer.
        """
        with contextlib.suppress(OSError, TimeoutError):
            self.writer.write_eof()
            async with asyncio.timeout(_HALF_OPEN_S):
                while await self.reader.read(CHUNK_BYTES):
                    pass

    async def close(self) -> None:
        """Report goodbye in order: what was written is delivered."""
        with contextlib.suppress(OSError, TimeoutError):
            self.writer.close()
            await asyncio.wait_for(self.writer.wait_closed(), _HALF_OPEN_S)

    def abort(self) -> None:
        """Cut the connection, so that the other side sees that something is missing."""
        self.writer.transport.abort()
