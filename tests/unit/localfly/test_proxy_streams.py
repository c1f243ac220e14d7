"""Traffic through the proxy: streams, sockets, reused connections, and faults of both ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from helpers.fake_machines import OK, FakeHost
from helpers.plain_http import NO_TLS
from helpers.waiting import LIMIT_S, until_soon
from localfly.proxy import wire
from localfly.proxy.addresses import MachineView, Proxy, ProxySettings

MB = 1024 * 1024


@asynccontextmanager
async def proxied(host, settings=None):
    """An app behind the proxy; yields the proxy and its port."""
    proxy = Proxy(host, settings)
    try:
        yield proxy, await proxy.open("app")
    finally:
        await proxy.aclose()
        await host.aclose()


async def behind(answer, ask, *, settings=None, **fields):
    """Send a request to a machine with this response; return the result and the machine."""
    host = FakeHost()
    upstream = await host.add(answer=answer, **fields)
    async with proxied(host, settings) as (_, port):
        return await ask(port), upstream, host


async def raw(port, data, *, half_close=False):
    """Send bytes and read until the proxy closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if half_close:
        writer.write_eof()
    received = b""
    # A proxy that cuts a connection may do so by a reset; what came before it is what counts.
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(LIMIT_S):
            while chunk := await reader.read(MB):
                received += chunk
    writer.transport.abort()
    return received


def get(path="/", **options):
    async def ask(port):
        async with httpx.AsyncClient(timeout=LIMIT_S, verify=NO_TLS) as client:
            return await client.get(f"http://127.0.0.1:{port}{path}", **options)

    return ask


def test_request_and_answer_arrive_as_they_were_sent():
    reply = b"HTTP/1.1 418 Short And Stout\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 3\r\n\r\ntea"

    async def ask(port):
        async with httpx.AsyncClient(timeout=LIMIT_S, verify=NO_TLS) as client:
            return await client.put(
                f"http://127.0.0.1:{port}/a%2Fb?q=%20",
                content=b"body",
                headers={"x-mine": "1", "host": "app.localhost"},
            )

    answer, upstream, _ = asyncio.run(behind(lambda _: reply, ask))
    (seen,) = upstream.seen

    assert (answer.status_code, answer.reason_phrase, answer.content) == (
        418,
        "Short And Stout",
        b"tea",
    )
    assert answer.headers.get_list("x-a") == ["1", "2"]
    assert answer.headers["server"] == "Fly/local"
    assert (seen.method, seen.target, seen.body) == ("PUT", "/a%2Fb?q=%20", b"body")
    assert seen.headers["host"] == "app.localhost"
    assert seen.headers["x-mine"] == "1"
    assert seen.headers["fly-request-id"] == answer.headers["fly-request-id"]


def test_an_answer_is_passed_on_while_it_is_made():
    async def scenario():
        go_on = asyncio.Event()

        async def events(seen):
            write = seen.wire.writer.write
            write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            write(b"5\r\nfirst\r\n")
            await go_on.wait()
            write(b"6\r\nsecond\r\n0\r\n\r\n")
            return b""

        async def ask(port):
            async with (
                httpx.AsyncClient(timeout=LIMIT_S, verify=NO_TLS) as client,
                client.stream("GET", f"http://127.0.0.1:{port}/") as answer,
            ):
                chunks = answer.aiter_raw()
                first = await anext(chunks)
                go_on.set()
                return first, [chunk async for chunk in chunks]

        return (await behind(events, ask))[0]

    assert asyncio.run(scenario()) == (b"first", [b"second"])


def test_large_bodies_pass_both_ways_unchanged():
    size = 5 * MB

    def answer(seen):
        body = hashlib.sha256(seen.body).digest() * (size // 32)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def parts():
        for _ in range(size // 65536):
            yield b"x" * 65536

    async def ask(port):
        async with httpx.AsyncClient(timeout=LIMIT_S, verify=NO_TLS) as client:
            return await client.post(f"http://127.0.0.1:{port}/", content=parts())

    got, upstream, _ = asyncio.run(behind(answer, ask))

    assert upstream.seen[0].body == b"x" * size
    assert got.content == hashlib.sha256(b"x" * size).digest() * (size // 32)


def test_a_client_that_does_not_read_slows_the_machine_down():
    sent = 0

    async def flood(seen):
        nonlocal sent
        writer = seen.wire.writer
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1024 * MB))
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read(100)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()

    asyncio.run(behind(flood, ask))

    assert sent < 100 * MB


@pytest.mark.parametrize(
    ("method", "reply", "status"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 5\r\n\r\n', 304),
    ],
)
def test_answers_without_a_body_leave_the_connection_usable(method, reply, status):
    async def ask(port):
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S, verify=NO_TLS
        ) as client:
            return [await client.request(method, "/") for _ in range(2)]

    answers, upstream, _ = asyncio.run(behind(lambda _: reply, ask))

    assert [answer.status_code for answer in answers] == [status, status]
    if method == "HEAD":
        assert answers[0].headers["content-length"] == "5"
        assert upstream.connections == 1


def test_a_client_that_expects_100_gets_it_before_it_sends():
    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        interim = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"body")
        final = await reader.readuntil(b"ok")
        writer.close()
        await writer.wait_closed()
        return interim, final

    (interim, final), upstream, _ = asyncio.run(behind(lambda _: OK, ask))

    assert interim.startswith(b"HTTP/1.1 100 ")
    assert final.startswith(b"HTTP/1.1 200 ")
    assert upstream.seen[0].body == b"body"


def test_an_answer_may_come_before_the_request_is_whole():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def scenario():
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        host = FakeHost()
        await host.add(internal_port=server.sockets[0].getsockname()[1])
        async with proxied(host) as (_, port):
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
            answer = await raw(port, head + b"x" * 1000, half_close=False)
        server.close()
        return answer

    assert asyncio.run(scenario()).startswith(b"HTTP/1.1 413 ")


def test_requests_sent_at_once_on_one_connection_are_answered_in_order():
    def answer(seen):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + seen.target.encode()

    async def ask(port):
        requests = [b"GET /%c HTTP/1.1\r\nHost: x\r\n\r\n" % letter for letter in b"abc"]
        last = b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        return await raw(port, b"".join([*requests, last]))

    received, _, _ = asyncio.run(behind(answer, ask))

    assert re.findall(rb"\r\n\r\n(/.)", received) == [b"/a", b"/b", b"/c", b"/z"]


def test_a_client_of_http_1_0_gets_an_answer_it_can_read():
    reply = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )

    received, upstream, _ = asyncio.run(
        behind(lambda _: reply, lambda port: raw(port, b"GET / HTTP/1.0\r\n\r\n"))
    )

    assert received.endswith(b"\r\n\r\nok")
    assert upstream.seen[0].headers["host"].startswith("app.localhost:")


def test_connections_to_a_machine_are_kept_and_used_again():
    async def ask(port):
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S, verify=NO_TLS
        ) as client:
            for _ in range(5):
                await client.get("/")
                await client.post("/", content=b"x")

    _, upstream, _ = asyncio.run(behind(lambda _: OK, ask))

    assert len(upstream.seen) == 10
    assert upstream.connections == 1


def test_a_head_that_fills_what_is_read_ahead_does_not_keep_its_body_out(monkeypatch):
    monkeypatch.setattr(wire, "_QUEUE_BYTES", 1)  # reading pauses at each head

    async def scenario():
        host = FakeHost()
        upstream = await host.add()
        async with proxied(host) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
            await until_soon(lambda: upstream.connections)
            writer.write(b"body")
            answer = await reader.readuntil(b"\r\n")
            writer.close()
            await writer.wait_closed()
        return answer, upstream.seen[0].body

    assert asyncio.run(scenario()) == (b"HTTP/1.1 200 OK\r\n", b"body")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_died_is_never_noticed_by_the_client(method):
    async def scenario():
        host = FakeHost()
        upstream = await host.add()
        async with (
            proxied(host) as (_, port),
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S, verify=NO_TLS
            ) as client,
        ):
            statuses = []
            for _ in range(5):
                statuses.append((await client.request(method, "/")).status_code)
                await upstream.stop()
                await upstream.start()
            return statuses

    assert asyncio.run(scenario()) == [200] * 5


def test_a_safe_request_is_sent_again_when_no_answer_came():
    answers = iter([None, None, OK])

    got, upstream, host = asyncio.run(behind(lambda _: next(answers), get()))

    assert got.status_code == 200
    assert len(upstream.seen) == 3
    assert all(line.startswith("[PU02]") for line in host.lines)


def test_an_unsafe_request_is_never_carried_out_twice():
    async def ask(port):
        async with httpx.AsyncClient(timeout=LIMIT_S, verify=NO_TLS) as client:
            return await client.post(f"http://127.0.0.1:{port}/", content=b"pay")

    got, upstream, _ = asyncio.run(behind(lambda _: None, ask))

    assert got.status_code == 502
    assert len(upstream.seen) == 1


def test_a_machine_that_talks_nonsense_is_a_bad_gateway():
    got, _, _ = asyncio.run(behind(lambda _: b"SSH-2.0-OpenSSH\r\n\r\n", get()))

    assert got.status_code == 502


def test_a_replay_is_refused_loudly():
    reply = b"HTTP/1.1 307 x\r\nFly-Replay: region=ams\r\nContent-Length: 0\r\n\r\n"

    got, _, host = asyncio.run(behind(lambda _: reply, get()))

    assert got.status_code == 501
    assert "fly-replay" in got.text
    assert host.lines[0].startswith("[PA03]")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_cut_and_never_looks_whole(start, version):
    """HTTP/1.0 has no chunks: only a reset tells its clients."""

    async def half(seen):
        seen.wire.writer.write(start)
        await seen.wire.writer.drain()

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/%b\r\nHost: x\r\n\r\n" % version)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    asyncio.run(behind(half, ask))


def test_a_client_that_hangs_up_ends_the_work_behind_it():
    async def scenario():
        asked = asyncio.Event()

        async def for_ever(seen):
            asked.set()
            await seen.wire.until_closed()

        host = FakeHost()
        upstream = await host.add(answer=for_ever)
        async with proxied(host) as (proxy, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asked.wait()
            writer.close()
            await writer.wait_closed()
            await until_soon(lambda: upstream.hung_up.is_set() and not proxy.load("app"))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 50_000, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n", 400),
    ],
)
def test_what_is_not_http_is_refused_without_asking_a_machine(data, status):
    received, upstream, host = asyncio.run(behind(lambda _: OK, lambda port: raw(port, data)))

    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"the request is not understood" in received
    assert upstream.seen == []
    assert not any("internal error" in line for line in host.lines)


@pytest.mark.parametrize(
    "data", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"]
)
def test_a_client_that_vanishes_is_forgotten_quietly(data):
    received, _, host = asyncio.run(
        behind(lambda _: OK, lambda port: raw(port, data, half_close=True))
    )

    assert received == b""
    assert host.lines == []


def exchanged(answer, *requests):
    """Send requests on one connection, the last of which closes it; return what came and the machine."""
    received, upstream, host = asyncio.run(
        behind(lambda _: answer, lambda port: raw(port, b"".join(requests)))
    )
    assert not any("internal error" in line for line in host.lines)
    return received, upstream


LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_a_large_body_leaves_its_connections_usable():
    size = 3 * MB
    upload = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"u" * size
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"d" * size

    received, upstream = exchanged(reply, upload, upload, LAST)

    assert [len(seen.body) for seen in upstream.seen] == [size, size, 0]
    assert upstream.seen[-1].target == "/last"
    assert upstream.connections == 1
    assert received.count(b"d" * size) == 3


def test_a_request_that_comes_after_the_answer_to_a_large_upload_is_one_of_its_own():
    size = 3 * MB
    upload = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"u" * size

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answers = []
        for request in (upload, upload, LAST):
            writer.write(request)
            answers.append(await reader.readuntil(b"ok"))
        writer.close()
        return answers

    answers, upstream, host = asyncio.run(behind(lambda _: OK, ask))

    assert [answer.endswith(b"ok") for answer in answers] == [True] * 3
    assert [len(seen.body) for seen in upstream.seen] == [size, size, 0]
    assert upstream.seen[-1].target == "/last"
    assert not any("internal error" in line for line in host.lines)


def test_a_large_upload_may_be_slow_but_not_silent():
    settings = ProxySettings(body_s=1)
    size = 2 * MB

    async def ask(port, *, ends):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(8):
            writer.write(b"x" * (size // 8))
            await asyncio.sleep(0.3)
            if not ends:
                break
        answer = await reader.readuntil(b"\r\n")
        writer.transport.abort()
        return answer

    slow, _, _ = asyncio.run(
        behind(lambda _: OK, lambda port: ask(port, ends=True), settings=settings)
    )
    silent, _, _ = asyncio.run(
        behind(lambda _: OK, lambda port: ask(port, ends=False), settings=settings)
    )

    assert slow.startswith(b"HTTP/1.1 200 ")
    assert silent.startswith(b"HTTP/1.1 408 ")


def test_a_large_answer_that_breaks_off_is_cut():
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (9 * MB) + b"d" * MB

    async def half(seen):
        seen.wire.writer.write(reply)
        await seen.wire.writer.drain()

    async def ask(port):
        with pytest.raises(httpx.TransportError):
            await get()(port)

    asyncio.run(behind(half, ask))


def test_both_lists_of_forwarders_are_kept():
    request = (
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1\r\n"
        b"X-Forwarded-For: 2.2.2.2, 3.3.3.3\r\nConnection: close\r\n\r\n"
    )

    _, upstream = exchanged(OK, request)

    assert upstream.seen[0].headers["x-forwarded-for"] == "1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"


def test_trailers_pass_both_ways_but_none_that_say_where_a_message_goes():
    reply = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        b"X-Sum: 7\r\nContent-Length: 9\r\n\r\n"
    )
    trailers = []

    async def with_trailers(reader, writer):
        await reader.readuntil(b"\r\n0\r\n")
        trailers.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply)
        writer.close()

    request = (
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Own: 1\r\nFly-Client-Ip: 6.6.6.6\r\nHost: evil\r\n\r\n"
    )

    async def scenario():
        server = await asyncio.start_server(with_trailers, "127.0.0.1", 0)
        host = FakeHost()
        await host.add(internal_port=server.sockets[0].getsockname()[1])
        async with proxied(host) as (_, port):
            received = await raw(port, request)
        server.close()
        return received

    received = asyncio.run(scenario())

    assert trailers == [b"x-own: 1\r\n\r\n"]
    assert received.endswith(b"2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n")


@pytest.mark.parametrize("option", [b"content-length", b"Keep-Alive, Content-Length", b"host"])
def test_a_request_cannot_hide_another_one_in_a_body_without_a_length(option):
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    request = b"POST / HTTP/1.1\r\nHost: mine\r\nConnection: %b\r\nContent-Length: %d\r\n\r\n"

    received, upstream = exchanged(OK, request % (option, len(hidden)) + hidden, LAST)

    assert [seen.target for seen in upstream.seen] == ["/", "/last"]
    assert (upstream.seen[0].body, upstream.seen[0].headers["host"]) == (hidden, "mine")
    assert received.count(b"HTTP/1.1 200 ") == 2


def test_a_response_keeps_its_length_whatever_its_connection_header_names():
    reply = b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok"

    received, _ = exchanged(reply, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", LAST)

    assert received.lower().count(b"\r\ncontent-length: 2\r\n") == 2


def test_an_interim_response_frames_nothing():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\nKeep-Alive: 5\r\n\r\n"

    received, _ = exchanged(hints + OK, LAST)

    assert received.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_http_2_without_asking_is_told_to_use_http_1():
    received, upstream = exchanged(OK, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 30)

    assert received.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n")
    assert received.endswith(b"HTTP/2 is not served here, use HTTP/1.1).\n")
    assert upstream.seen == []


def test_a_refusal_of_a_head_request_has_no_body():
    async def ask(port):
        return await raw(port, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)

    received, _, _ = asyncio.run(behind(lambda _: OK, ask, state="created"))

    first, second, body = received.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 503 ")
    assert second.startswith(b"HTTP/1.1 503 ")
    assert (
        b"no machine can be started from its state (created) (PM08).\nSee: localfly logs app\n"
        in body
    )


def test_a_request_that_asks_for_another_protocol_with_a_body_is_passed_on_without_asking():
    request = (
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 4\r\n\r\nbody"
    )

    received, upstream = exchanged(OK, request, LAST)

    assert received.count(b"HTTP/1.1 200 ") == 2
    assert upstream.seen[0].body == b"body"
    assert "upgrade" not in upstream.seen[0].headers


def test_requests_behind_a_refused_upgrade_are_answered():
    upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    received, upstream = exchanged(OK, upgrade, LAST)

    assert received.count(b"HTTP/1.1 200 ") == 2
    assert [seen.target for seen in upstream.seen] == ["/", "/last"]


PIECES = (
    b"GET / HTTP/1.1\r\n",
    b"POST /x HTTP/1.0\r\n",
    b"Host: x\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
)
REQUESTS = st.lists(st.binary(max_size=50) | st.sampled_from(PIECES), max_size=8).map(b"".join)


@settings(max_examples=25, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=4))
def test_whatever_a_client_sends_the_proxy_serves_the_next_one(sent):
    async def ask(port):
        for data in sent:
            await raw(port, data, half_close=True)
        return await get()(port)

    got, _, host = asyncio.run(behind(lambda _: OK, ask))

    assert got.status_code == 200
    assert not any("internal error" in line for line in host.lines)


@pytest.mark.parametrize(
    "data", [b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"]
)
def test_a_client_that_takes_too_long_is_told(data):
    settings = ProxySettings(head_s=0.1, body_s=0.1)

    received, _, _ = asyncio.run(
        behind(lambda _: OK, lambda port: raw(port, data), settings=settings)
    )

    assert received.startswith(b"HTTP/1.1 408 ")


def test_an_idle_client_is_let_go_without_a_word():
    received, _, _ = asyncio.run(
        behind(lambda _: OK, lambda port: raw(port, b""), settings=ProxySettings(head_s=0.05))
    )

    assert received == b""


def test_too_many_clients_are_told_to_come_again():
    settings = ProxySettings(connections=1)

    async def ask(port):
        _, first = await asyncio.open_connection("127.0.0.1", port)
        received = await raw(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        first.close()
        await first.wait_closed()
        return received

    received, _, _ = asyncio.run(behind(lambda _: OK, ask, settings=settings))

    assert received.startswith(b"HTTP/1.1 503 ")


@asynccontextmanager
async def websocket_app(handler):
    """A WebSocket server behind the proxy."""
    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        host = FakeHost()
        config = {"services": [{"internal_port": port, "autostart": True}]}
        host.views["ws"] = MachineView("ws", "ws", "started", config, "127.0.0.1", "iad")
        proxy = Proxy(host)
        try:
            yield host, proxy, await proxy.open("app")
        finally:
            await proxy.aclose()


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


def test_a_websocket_passes_both_ways_and_counts_as_load():
    async def scenario():
        async with websocket_app(echo) as (_, proxy, port):
            async with connect(f"ws://127.0.0.1:{port}/x") as client:
                await client.send("hello")
                text = await client.recv()
                await client.send(b"x" * MB)
                size = len(await client.recv())
                load = proxy.load("app")
            await until_soon(lambda: not proxy.load("app"))
            return text, size, load

    assert asyncio.run(scenario()) == ("hello", MB, {"ws": 1})


def test_a_websocket_of_a_machine_that_is_suspended_is_told_and_does_not_wake_it():
    async def scenario():
        async with (
            websocket_app(echo) as (host, _, port),
            connect(f"ws://127.0.0.1:{port}/") as client,
        ):
            host.put("ws", state="suspended")
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            return closed.value.rcvd.code, host.calls

    assert asyncio.run(scenario()) == (1001, [])


def test_a_refused_upgrade_is_an_ordinary_answer():
    async def ask(port):
        upgrade = {"connection": "upgrade", "upgrade": "websocket"}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S, verify=NO_TLS
        ) as client:
            return [(await client.get("/", headers=upgrade)).status_code for _ in range(2)]

    statuses, _, _ = asyncio.run(behind(lambda _: OK, ask))

    assert statuses == [200, 200]
