"""A relay between two machines, as Fly's proxy is one: it waits for a server that starts, and can be cut."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self

from helpers.waiting import LIMIT_S

WAIT_S = 30.0
"""How long a connection waits for a server that does not listen; Fly's proxy holds a request so."""
LOOK_S, CHUNK = 0.1, 65536


class Relay:
    """Passes connections on to a port; use it in a `with`.

    Args:
        port: where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay")
        self._open: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self.port = 0

    @property
    def url(self) -> str:
        """The address of the relay."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._do(self._end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    def cut(self) -> None:
        """End every connection, and every new one at once, until `mend`."""
        self._is_cut = True
        self._do(self._end_all())

    def mend(self) -> None:
        """Pass connections on again."""
        self._is_cut = False

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    async def _end_all(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            return
        up_reader, up_writer = await self._connect()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, up_writer))
                both.create_task(_copy(up_reader, writer))
        except* OSError:
            pass
        finally:
            up_writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(WAIT_S):
            while True:
                with suppress(ConnectionError):
                    return await asyncio.open_connection("127.0.0.1", self._port)
                await asyncio.sleep(LOOK_S)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction; its end ends the connection."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError
