"""Requests without a running machine, too many at once, or during a suspend."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import httpx
import pytest

from helpers.fake_machines import OK, FakeHost
from helpers.plain_http import NO_TLS
from helpers.waiting import LIMIT_S, until_soon
from localfly.errors import PortTakenError, StartRefusedError
from localfly.proxy.addresses import Proxy, ProxySettings
from localfly.proxy.autostop import AutostopSettings

FAST = ProxySettings(hold_s=0.3)


@asynccontextmanager
async def proxied(host, settings=None):
    """An app behind the proxy, and a client for it."""
    proxy = Proxy(host, settings)
    port = await proxy.open("app")
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S, verify=NO_TLS
        ) as client:
            yield proxy, client
    finally:
        await proxy.aclose()
        await host.aclose()


def slow(seen_event, go_on):
    """A response that signals its request and waits until it is released."""

    async def answer(_):
        seen_event.set()
        await go_on.wait()
        return OK

    return answer


@pytest.mark.parametrize("state", ["stopped", "suspended"])
def test_twenty_requests_at_once_wake_a_machine_once_and_are_all_answered(state):
    async def scenario():
        host = FakeHost()
        await host.add(state=state)
        host.start_s = 0.1
        async with proxied(host) as (_, client):
            answers = await asyncio.gather(*(client.get("/") for _ in range(20)))
        return host.calls, {answer.status_code for answer in answers}

    assert asyncio.run(scenario()) == ([("start", "app-1")], {200})


def test_a_request_is_held_until_the_port_accepts():
    async def scenario():
        host = FakeHost()
        upstream = await host.add(state="stopped")
        host.put("app-1", state="started")
        async with proxied(host) as (_, client):
            asking = asyncio.create_task(client.post("/", content=b"body"))
            await asyncio.sleep(0.1)
            await upstream.start()
            answer = await asking
        return answer.status_code, upstream.seen[0].body

    assert asyncio.run(scenario()) == (200, b"body")


def test_a_machine_that_never_listens_is_told_with_flys_code():
    async def scenario():
        host = FakeHost()
        await host.add(state="stopped")
        host.put("app-1", state="started")
        async with proxied(host, FAST) as (_, client):
            answer = await client.get("/")
        host.put("app-1", state="stopped")
        return answer, host.lines

    answer, lines = asyncio.run(scenario())

    assert answer.status_code == 503
    assert "0.0.0.0" in answer.text
    assert answer.headers["fly-request-id"]
    assert any(line.startswith("[PC01]") for line in lines)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"state": "stopped", "autostart": False}, "autostart is off"),
        ({"state": "created"}, "state (created)"),
    ],
)
def test_what_cannot_be_woken_is_answered_at_once(fields, said):
    async def scenario():
        host = FakeHost()
        await host.add(**fields)
        async with proxied(host) as (_, client):
            return await client.get("/"), host.calls

    answer, calls = asyncio.run(scenario())

    assert (answer.status_code, calls) == (503, [])
    assert said in answer.text


def test_a_lasting_refusal_is_passed_on_in_the_hosts_words():
    async def scenario():
        host = FakeHost()
        await host.add(state="stopped")
        host.refusal = StartRefusedError("its volume is gone", lasting=True)
        async with proxied(host) as (_, client):
            return await client.get("/"), host.lines

    answer, lines = asyncio.run(scenario())

    assert answer.status_code == 503
    assert "its volume is gone" in answer.text
    assert lines[0].startswith("[PM01]")


def test_a_refusal_that_passes_is_waited_out():
    async def scenario():
        host = FakeHost()
        await host.add(state="stopped")
        host.refusal = StartRefusedError("leased")
        async with proxied(host) as (_, client):
            asking = asyncio.create_task(client.get("/"))
            await until_soon(lambda: host.calls)
            host.refusal = None
            return (await asking).status_code, len(host.calls)

    assert asyncio.run(scenario()) == (200, 2)


def test_above_the_hard_limit_requests_queue_and_are_answered_in_turn():
    running, most = 0, 0

    async def answer(_):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return OK

    async def scenario():
        host = FakeHost()
        await host.add(answer=answer, concurrency={"soft_limit": 1, "hard_limit": 2})
        async with proxied(host) as (_, client):
            answers = await asyncio.gather(*(client.get("/") for _ in range(10)))
        return {a.status_code for a in answers}

    assert asyncio.run(scenario()) == {200}
    assert most == 2


def test_a_queue_that_does_not_move_ends_in_503():
    async def scenario():
        asked, go_on = asyncio.Event(), asyncio.Event()
        host = FakeHost()
        await host.add(answer=slow(asked, go_on), concurrency={"hard_limit": 1})
        async with proxied(host, FAST) as (_, client):
            first = asyncio.create_task(client.get("/"))
            await asked.wait()
            second = await client.get("/")
            go_on.set()
            return (await first).status_code, second.status_code, second.text

    first, second, text = asyncio.run(scenario())

    assert (first, second) == (200, 503)
    assert "hard limit" in text


def test_a_crowded_machine_brings_up_the_next():
    async def scenario():
        asked, go_on = asyncio.Event(), asyncio.Event()
        host = FakeHost()
        await host.add("app-1", answer=slow(asked, go_on), concurrency={"soft_limit": 1})
        await host.add("app-2", state="stopped")
        async with proxied(host) as (proxy, client):
            first = asyncio.create_task(client.get("/"))
            await asked.wait()
            second = asyncio.create_task(client.get("/"))
            await until_soon(lambda: host.views["app-2"].state == "started")
            third = await client.get("/")
            load = proxy.load("app")["app-1"]
            go_on.set()
            await asyncio.gather(first, second)
            await until_soon(lambda: not proxy.load("app"))
        return third.status_code, host.calls, load

    assert asyncio.run(scenario()) == (200, [("start", "app-2")], 2)


def test_a_machine_that_suspends_itself_under_a_request_is_woken_to_finish_it():
    async def scenario():
        asked, go_on = asyncio.Event(), asyncio.Event()
        host = FakeHost()
        await host.add(answer=slow(asked, go_on))
        async with proxied(host) as (_, client):
            asking = asyncio.create_task(client.get("/"))
            await asked.wait()
            host.put("app-1", state="suspended")
            await until_soon(lambda: host.calls)
            go_on.set()
            return (await asking).status_code, host.calls

    assert asyncio.run(scenario()) == (200, [("start", "app-1")])


def test_a_request_gets_the_machine_it_forces():
    async def scenario():
        host = FakeHost()
        await host.add("app-1")
        second = await host.add("app-2")
        async with proxied(host) as (_, client):
            there = await client.get("/", headers={"fly-force-instance-id": "app-2"})
            nowhere = await client.get("/", headers={"fly-force-instance-id": "app-9"})
        return there.status_code, nowhere.status_code, len(second.seen)

    assert asyncio.run(scenario()) == (200, 503, 1)


def test_a_client_that_gives_up_while_it_waits_takes_no_place():
    async def scenario():
        gone = asyncio.Event()

        class StartsOnceTheClientIsGone(FakeHost):
            async def start(self, app, machine_id, source):
                await gone.wait()
                await super().start(app, machine_id, source)

        host = StartsOnceTheClientIsGone()
        await host.add(state="stopped")
        async with proxied(host) as (proxy, client):
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/", timeout=httpx.Timeout(LIMIT_S, read=0.05))
            await asyncio.sleep(0.05)
            gone.set()
            await until_soon(lambda: host.views["app-1"].state == "started")
            await asyncio.sleep(0.05)
            return proxy.load("app"), host.upstreams["app-1"].seen

    assert asyncio.run(scenario()) == ({}, [])


@pytest.mark.parametrize(("autostop", "called"), [("suspend", "suspend"), ("stop", "stop")])
def test_the_loop_puts_an_idle_machine_to_sleep_and_a_request_wakes_it(autostop, called):
    settings = ProxySettings(autostop=AutostopSettings(interval_s=0.05))

    async def scenario():
        host = FakeHost()
        await host.add(autostop=autostop)
        async with proxied(host, settings) as (_, client):
            await until_soon(lambda: host.calls)
            answer = await client.get("/")
        return answer.status_code, host.calls[:2]

    assert asyncio.run(scenario()) == (200, [(called, "app-1"), ("start", "app-1")])


@pytest.mark.parametrize("load", ["sampled", "windowed"])
def test_a_machine_in_use_is_not_put_to_sleep(load):
    async def scenario():
        asked, go_on = asyncio.Event(), asyncio.Event()
        host = FakeHost()
        await host.add(answer=slow(asked, go_on), autostop="stop")
        settings = ProxySettings(autostop=AutostopSettings(load=load))
        async with proxied(host, settings) as (proxy, client):
            asking = asyncio.create_task(client.get("/"))
            await asked.wait()
            await proxy.autostop.sweep()
            during = list(host.calls)
            go_on.set()
            await asking
            await until_soon(lambda: not proxy.load("app"))
            await proxy.autostop.sweep()
            return during, host.calls

    # What was in flight since the pass before still counts in the window.
    expected = [("stop", "app-1")] if load == "sampled" else []
    assert asyncio.run(scenario()) == ([], expected)


def test_a_request_that_comes_while_a_machine_goes_to_sleep_wakes_it_again():
    class SlowToSleep(FakeHost):
        async def suspend(self, app, machine_id, source):
            await asyncio.sleep(0.1)
            await super().suspend(app, machine_id, source)

    async def scenario():
        host = SlowToSleep()
        await host.add(autostop="suspend")
        async with proxied(host) as (proxy, client):
            sweeping = asyncio.create_task(proxy.autostop.sweep())
            await asyncio.sleep(0.02)
            answer = await client.get("/")
            await sweeping
        return answer.status_code, host.calls

    assert asyncio.run(scenario()) == (200, [("suspend", "app-1"), ("start", "app-1")])


def test_a_port_that_is_taken_is_told_and_an_app_keeps_its_own():
    async def scenario():
        host = FakeHost()
        async with proxied(host) as (proxy, client):
            port = client.base_url.port
            again = await proxy.open("app", port)
            with pytest.raises(PortTakenError, match=str(port)):
                await proxy.open("other", port)
            await proxy.close("app")
            reopened = await proxy.open("app", port)
        return again == port == reopened

    assert asyncio.run(scenario())


def test_closing_does_not_wait_for_clients():
    async def scenario():
        asked = asyncio.Event()
        host = FakeHost()
        await host.add(answer=slow(asked, asyncio.Event()))
        async with proxied(host) as (proxy, client):
            asking = asyncio.create_task(client.get("/"))
            await asked.wait()
            began = time.monotonic()
            await proxy.close("app")
            took = time.monotonic() - began
            with pytest.raises(httpx.TransportError):
                await asking
        return took < 30  # half of what a request is held for

    assert asyncio.run(scenario())
