"""One HTTP/1.1 connection of a machine in tests, parsed by h11: another parser than the proxy's."""

from __future__ import annotations

import asyncio

import h11

CHUNK_BYTES = 64 * 1024


class Wire:
    """A socket and its HTTP state."""

    def __init__(self, reader, writer):
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=CHUNK_BYTES)
        self.reader = reader
        self.writer = writer

    async def receive(self):
        """Read and return the next event."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(CHUNK_BYTES))
        return event

    async def send(self, *events):
        """Write events in one piece, and wait until the other side accepts more."""
        self.writer.write(b"".join(filter(None, map(self.http.send, events))))
        await self.writer.drain()

    async def until_closed(self):
        """Return when the other side disconnects."""
        while self.http.trailing_data == (b"", False):
            data = await self.reader.read(CHUNK_BYTES)
            if not data:
                return
            self.http.receive_data(data)
        await asyncio.get_running_loop().create_future()

    def try_next_cycle(self):
        """Prepare for another request; return False if the connection has to close."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            return True
        return False
