"""One HTTP/1.1 connection over asyncio streams, parsed by h11, with back-pressure."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import h11

CHUNK_BYTES = 64 * 1024
HEAD_BYTES = 64 * 1024  # a request or response with a larger head is refused (431, 502)
_HALF_OPEN_S = 1.0

Event = Any
"""An event of h11, or its NEED_DATA or PAUSED marker; h11 has no common type for them."""


class Wire:
    """One side of the proxy: a socket and its HTTP state."""

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
        """Read and return the next event.

        Raises:
            h11.RemoteProtocolError: The data is not HTTP; the error has a status to answer with.
            ConnectionError: The other side reset the connection.
        """
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(CHUNK_BYTES))
        return event

    async def receive_ready(self) -> list[Event]:
        """Return the next event, and those that arrived with it.

        Raises:
            As `receive`; events before an error in the same data are lost.
        """
        events = [await self.receive()]
        while self.http.their_state is h11.SEND_BODY:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                break
            events.append(event)
        return events

    async def send(self, *events: Event) -> None:
        """Write events in one piece, and wait until the other side accepts more."""
        self.writer.write(b"".join(filter(None, map(self.http.send, events))))
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Return when the other side disconnects; data that it sends before is kept."""
        while self.http.trailing_data == (b"", False):
            data = await self.reader.read(CHUNK_BYTES)
            if not data:
                return
            self.http.receive_data(data)
        await asyncio.get_running_loop().create_future()

    @property
    def idle_and_open(self) -> bool:
        """Whether a new request can probably be sent on it."""
        return (
            not self.reader.at_eof()
            and not self.writer.is_closing()
            and self.http.our_state is h11.IDLE
        )

    def try_next_cycle(self) -> bool:
        """Prepare for another request; return False if the connection has to close."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            return True
        return False

    async def linger(self) -> None:
        """Let the client read a response that was sent before the request ended.

        Closing with unread bytes makes the kernel reset the connection and drop the response.
        """
        with contextlib.suppress(OSError, TimeoutError):
            self.writer.write_eof()
            async with asyncio.timeout(_HALF_OPEN_S):
                while await self.reader.read(CHUNK_BYTES):
                    pass

    async def close(self) -> None:
        """Close the connection after what was written is delivered."""
        with contextlib.suppress(OSError, TimeoutError):
            self.writer.close()
            await asyncio.wait_for(self.writer.wait_closed(), _HALF_OPEN_S)

    def abort(self) -> None:
        """Reset the connection, so that the other side notices that data is missing."""
        self.writer.transport.abort()
