"""Waking a flow server: one request at a time, a back-off, and an end of waiting for it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from helpers.waiting import until_soon
from roost_server.flow_server_wake import GIVE_UP_S, LAST_BACKOFF_S, Waker, request
from roost_server.flow_servers import Missed, Online, first_online

ADDRESS = "http://acme-nightly.flycast"
RECORD = first_online("nightly", Online("b1", "v", ADDRESS, "3.9.1", Missed.SKIP), "now")


class Door:
    """A flow server's address that answers with a status, raises, or does not answer yet."""

    def __init__(self, answer=200):
        self.answer, self.asked, self.open = answer, [], asyncio.Event()
        self.open.set()
        self.now = self.awake = 0.0
        self.waker = Waker(lambda: self.awake, self.get, lambda: self.now)

    async def get(self, address):
        """Answer a request."""
        self.asked.append(address)
        await self.open.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def wake(self, **options):
        """Wake it, and wait for the request's end; return whether there was a request."""
        before = len(self.asked)
        self.waker.wake(RECORD, **options)
        await asyncio.sleep(0)
        task = self.waker._waking["nightly"].task
        if task and self.open.is_set():
            await task
        return len(self.asked) > before


def play(scene):
    return asyncio.run(scene())


def test_it_is_waking_from_the_request_until_it_is_seen():
    async def scene():
        door = Door()
        found = [door.waker.is_waking("nightly")]
        await door.wake()
        found.append(door.waker.is_waking("nightly"))
        door.waker.forget("nightly")
        return [*found, door.waker.is_waking("nightly")]

    assert play(scene) == [False, True, False]


def test_a_woken_flow_server_is_asked_again_only_after_a_while():
    async def scene():
        door = Door()
        found = [await door.wake(), await door.wake()]
        door.now += 5
        return door, [*found, await door.wake(), door.waker.error("nightly")]

    door, found = play(scene)

    assert found == [True, False, True, ""]
    assert door.asked == [ADDRESS, ADDRESS]


def test_the_back_off_grows_to_its_limit_and_ends_when_it_is_seen():
    async def scene():
        door, waits = Door(502), []
        for _ in range(7):
            began = door.now
            while not await door.wake():
                door.now += 1
            waits.append(door.now - began)
        door.waker.forget("nightly")
        return waits, await door.wake()

    waits, at_once = play(scene)

    assert waits == [0, 5, 10, 20, 40, LAST_BACKOFF_S, LAST_BACKOFF_S]
    assert at_once


@pytest.mark.parametrize(
    ("answer", "error"),
    [(502, "WakeError: status 502"), (httpx.ConnectError("no route"), "ConnectError: no route")],
)
def test_a_failure_is_kept_and_logged_with_the_next_step(capsys, answer, error):
    async def scene():
        door = Door(answer)
        await door.wake()
        return door.waker.error("nightly")

    assert play(scene) == error
    assert capsys.readouterr().out == (
        f"roost: cannot wake flow server nightly at {ADDRESS}: {error}; trying again\n"
    )


def test_one_request_at_a_time_and_a_person_waits_for_no_back_off():
    async def scene():
        door = Door()
        door.open.clear()
        found = [await door.wake(), await door.wake(at_once=True)]
        door.open.set()
        await until_soon(door.waker._waking["nightly"].task.done)
        return [*found, await door.wake(), await door.wake(at_once=True)]

    assert play(scene) == [True, False, False, True]


def test_nobody_waits_for_ever_for_a_flow_server_that_does_not_wake():
    async def scene():
        door = Door()
        found = [door.waker.gave_up("nightly")]
        for door.awake in range(0, int(GIVE_UP_S), 100):
            await door.wake(at_once=True)
        for awake in (GIVE_UP_S, GIVE_UP_S + 1):
            door.awake = awake
            found.append(door.waker.gave_up("nightly"))
        door.waker.forget("nightly")
        return [*found, door.waker.gave_up("nightly")]

    assert play(scene) == [False, False, True, False]


def test_the_request_goes_to_the_address_itself_and_not_through_a_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def scene():
        got = []

        async def answer(reader, writer):
            got.append(await reader.readline())
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await request(f"http://127.0.0.1:{port}"), got

    assert play(scene) == (204, [b"GET / HTTP/1.1\r\n"])
