"""Clients of a real HTTP server that disconnect while they wait, over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
import websockets

from helpers.asgi_calls import answer, body_of
from helpers.prefect_process import free_port
from roost_server.maintenance_mode import MaintenanceMode
from roost_server.upgrade import COPY, Note, write_note
from roost_server.write_requests import queue_requests

REQUEST = "POST /{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"


@asynccontextmanager
async def serving(app):
    """Serve an application as `serve` does; return its port."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_level="warning")
    )
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield port
    finally:
        server.should_exit = True
        await task


async def send(port, name):
    """Send a complete request without waiting."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST.format(name=name).encode())
    await writer.drain()
    return reader, writer


async def hang_up(writer):
    """Close a connection, and wait until it is closed."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


class Keeper:
    """An application that stores requests; the first waits until the test releases it."""

    def __init__(self):
        self.kept, self.go_on, self.asked = [], asyncio.Event(), asyncio.Event()

    async def __call__(self, scope, receive, send):
        """Keep one thing."""
        await body_of(receive)
        self.asked.set()
        await self.go_on.wait()
        self.kept.append(scope["path"])
        await answer(send, 201)


def test_of_two_tries_of_one_client_that_both_wait_one_is_carried_out():
    async def scenario():
        keeper = Keeper()
        async with asyncio.timeout(20), serving(queue_requests(keeper)) as port:
            first, one = await send(port, "first")
            await keeper.asked.wait()
            _, given_up = await send(port, "second")
            await asyncio.sleep(0.1)  # in which it is read, and waits
            given_up.transport.abort()
            again, two = await send(port, "second")
            await asyncio.sleep(0.1)
            keeper.go_on.set()
            answers = [await first.read(), await again.read()]
            for writer in (one, two, given_up):
                await hang_up(writer)
        return keeper.kept, [got.split(b" ")[1] for got in answers]

    assert asyncio.run(scenario()) == (["/first", "/second"], [b"201", b"201"])


@pytest.fixture
def closed(tmp_path):
    """A server in maintenance mode, with an application that echoes over sockets."""

    async def echo(_, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    (tmp_path / COPY).write_bytes(b"the database of before")
    write_note(tmp_path, Note("2025", 1_000_000.0))
    maintenance = MaintenanceMode(tmp_path, {}, clock=lambda: 1_000_000.0)
    return maintenance, maintenance.layer(echo)


def test_a_client_that_waits_for_its_socket_gets_it_when_the_server_opens(closed):
    maintenance, app = closed

    async def scenario():
        async with asyncio.timeout(20), serving(app) as port:
            asyncio.get_running_loop().call_later(0.3, maintenance.open)
            async with websockets.connect(f"ws://127.0.0.1:{port}/api/events/in") as socket:
                await socket.send("an event")
                return await socket.recv()

    assert asyncio.run(scenario()) == "an event"


def test_a_client_that_gives_up_waiting_for_its_socket_comes_again(closed):
    """Prefect's client does so after a timeout, and drops its event if the socket is refused."""
    maintenance, app = closed

    async def scenario():
        async with asyncio.timeout(20), serving(app) as port:
            address = f"ws://127.0.0.1:{port}/api/events/in"
            with pytest.raises(TimeoutError):
                await websockets.connect(address, open_timeout=0.3)
            asyncio.get_running_loop().call_later(0.3, maintenance.open)
            async with websockets.connect(address) as socket:
                await socket.send("an event")
                return await socket.recv()

    assert asyncio.run(scenario()) == "an event"
