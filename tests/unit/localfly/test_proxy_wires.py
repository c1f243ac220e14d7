"""One connection of the proxy, with a client that reads late or never."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from helpers.waiting import LIMIT_S
from localfly.proxy import wire
from localfly.proxy.wire import ClientWire, Signal

SIZE = 1024 * 1024
SMALL = 4096  # bytes of the kernel's buffers, so that most of what is written waits in the proxy


@asynccontextmanager
async def client_of(served):
    """Connect a client to the proxy's side of a connection; give its socket."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        client.connect(server.getsockname())
        client.settimeout(0)
        accepted, _ = server.accept()
        accepted.settimeout(0)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        await loop.create_connection(lambda: served, sock=accepted)
        async with asyncio.timeout(LIMIT_S):
            yield client
        served.abort()


async def read(client):
    """Return how many bytes come before the end."""
    count = 0
    while data := await asyncio.get_running_loop().sock_recv(client, SIZE):
        count += len(data)
    return count


async def finish(served, pause_s):
    """End a connection as the listener does."""
    await served.linger(pause_s)
    await served.close(pause_s)
    served.reset()


def test_a_client_that_pauses_still_gets_the_end_of_a_response(monkeypatch):
    monkeypatch.setattr(wire, "_HALF_OPEN_S", 0.01)

    async def scenario():
        served = ClientWire(Signal())
        async with client_of(served) as client:
            served.write(b"x" * SIZE)
            ending = asyncio.create_task(finish(served, LIMIT_S))
            await asyncio.sleep(0.2)  # many times what an empty connection is given
            waited = not ending.done()
            count = await read(client)
            client.close()
            await ending
        return waited, count

    assert asyncio.run(scenario()) == (True, SIZE)


def test_a_client_that_reads_slowly_is_waited_for_as_long_as_it_reads():
    """It takes several times the longest pause."""

    async def scenario():
        served = ClientWire(Signal())
        async with client_of(served) as client:
            served.write(b"x" * SIZE)
            ending = asyncio.create_task(served.close(1.0))
            count = 0
            for _ in range(20):
                count += len(await asyncio.get_running_loop().sock_recv(client, SIZE // 64))
                await asyncio.sleep(0.1)
            count += await read(client)
            await ending
        return count

    assert asyncio.run(scenario()) == SIZE


def test_a_client_that_never_reads_the_end_of_a_response_is_reset(monkeypatch):
    monkeypatch.setattr(wire, "_HALF_OPEN_S", 0.01)

    async def scenario():
        served = ClientWire(Signal())
        async with client_of(served) as client:
            served.write(b"x" * SIZE)
            await finish(served, 0.05)
            with pytest.raises(ConnectionResetError):
                await read(client)

    asyncio.run(scenario())


def test_an_ordinary_end_is_no_reset():
    async def scenario():
        served = ClientWire(Signal())
        async with client_of(served) as client:
            served.write(b"x")
            ending = asyncio.create_task(finish(served, LIMIT_S))
            count = await read(client)
            client.close()
            await ending
            return count

    assert asyncio.run(scenario()) == 1
