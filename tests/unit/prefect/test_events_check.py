"""The gate proves the way of events: a shut socket loses task runs while flow runs complete."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from dataclasses import replace

import anyio
import httpx
import pytest
from websockets.utils import accept_key

from helpers.fake_prefect import LOGIN, FakePrefect, say
from roost.prefect.events_check import NAME, NO_SOCKETS, PATH
from roost.prefect.probe import CHECKS, Server, run_check
from roost.prefect.transport import prefect_client
from roost.secret_text import SecretText

[EVENTS] = [check for check in CHECKS if check.name == "events"]
LIMIT_S = 10.0
SHORT_S = 0.1


def check(fake, auth=LOGIN, limit_s=LIMIT_S, headers=None):
    """Run the check against a server that is not there."""

    async def run():
        transport = httpx.MockTransport(fake)
        async with prefect_client("http://acme.test", 5, transport, headers) as http:
            server = Server(http, SecretText(auth) if auth else None, poll_s=0.001)
            return await run_check(replace(EVENTS, limit_s=limit_s), server, time.monotonic)

    return anyio.run(run)


def test_an_event_goes_in_through_the_socket_and_comes_back():
    fake = FakePrefect()

    result = check(fake)

    assert result.ok, result
    assert result.detail == "sent through the socket, read back"
    [event] = fake.events.values()
    assert event["event"] == NAME
    assert event["resource"]["prefect.resource.id"].startswith(f"{NAME}.")


def test_a_server_without_a_login_is_proved_too():
    assert check(FakePrefect(auth=False), auth="").ok


def test_the_socket_is_asked_for_as_prefect_s_client_does_and_with_the_gate_s_headers():
    seen = {}

    async def watched(request):
        if request.url.path == PATH:
            seen.update(request.headers)
        return await fake(request)

    fake = FakePrefect()

    assert check(watched, headers={"x-roost-gate": "1"}).ok
    assert seen["sec-websocket-protocol"] == "prefect"
    assert seen["upgrade"] == "websocket"
    assert seen["connection"].lower() == "upgrade"
    assert seen["authorization"].startswith("Basic ")
    assert seen["x-roost-gate"] == "1"


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (200, NO_SOCKETS),
        (400, NO_SOCKETS),
        (404, NO_SOCKETS),
        (426, NO_SOCKETS),
        (502, NO_SOCKETS),
        (299, NO_SOCKETS),
        (599, NO_SOCKETS),
        (401, "requires a login of its own for sockets"),
        (403, "pass the header Sec-WebSocket-Protocol"),
        (503, "Look at the server's log."),
    ],
)
def test_a_socket_that_does_not_open_is_told_with_what_stands_in_its_way(status, advice):
    result = check(FakePrefect(broken={("GET", PATH): say(status, {})}))

    assert not result.ok
    assert result.detail == f"{PATH} answered {status}, not 101"
    assert advice in result.advice


def test_an_upgrade_that_is_none_is_no_socket():
    result = check(FakePrefect(broken={("GET", PATH): say(101, upgrade="h2c")}))

    assert not result.ok
    assert result.advice == NO_SOCKETS


@pytest.mark.parametrize(
    ("trouble", "detail", "advice"),
    [
        (
            "other",
            f"{PATH} answered {{'type': 'auth_failure'}}",
            "requires another login for events",
        ),
        ("bare", f"{PATH} opened without the subprotocol prefect", "Sec-WebSocket-Protocol"),
        ("broken", f"{PATH} was closed (1006)", "broke the socket"),
        ("silent", f"not within {SHORT_S:g} s: {PATH} does not answer", "Look at the server's log"),
        ("deaf", f"not within {SHORT_S:g} s: the event did not come back", "EVENT_PERSISTER"),
    ],
)
def test_a_socket_that_keeps_no_event_is_a_finding(trouble, detail, advice):
    result = check(FakePrefect(socket=trouble), limit_s=SHORT_S)

    assert not result.ok
    assert result.detail == detail
    assert advice in result.advice


async def reset_by_the_server(reader, writer):
    """Accept any socket, and break the connection after the first message."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = re.search(r"(?i)sec-websocket-key: (\S+)", head)[1]
    accepted = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\nSec-WebSocket-Protocol: prefect\r\n\r\n"
    )
    writer.write(accepted.encode())
    await reader.read(1)
    # No orderly end: what is left unread and linger 0 make it a reset.
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def test_a_connection_that_breaks_is_a_finding_and_no_fault_of_ours():
    async def run():
        server = await asyncio.start_server(reset_by_the_server, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server, prefect_client(f"http://{host}:{port}", 5) as http:
            return await run_check(EVENTS, Server(http, SecretText(LOGIN)), time.monotonic)

    result = asyncio.run(run())

    assert not result.ok
    assert result.detail.startswith(f"{PATH} was closed (1006")
    assert "broke the socket" in result.advice


def test_a_login_that_the_socket_refuses_is_not_shown():
    result = check(FakePrefect(login="admin:other"))

    assert not result.ok
    assert result.detail == f"{PATH} was closed (1008: Invalid token)"
    assert "requires another login for events" in result.advice
    assert "s3cret" not in repr(result)
