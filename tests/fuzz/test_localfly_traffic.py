"""The local Fly under junk: its API and proxy live, answer the next good request, and leak nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import socket

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzing import THOROUGH, examples
from helpers.local_daemon import REF, LocalDaemon, write_parts
from helpers.raw_server import cut
from helpers.waiting import LIMIT_S, until

APP = "/apps/noisy"
HOST = b"Host: noisy\r\n"
AUTH = b"Authorization: Bearer any\r\n"
IDLE = 1000
FILES = 512
GOOD = b"GET /localfly/status HTTP/1.1\r\nHost: noisy\r\nConnection: close\r\n\r\n"
ROOM_MB = 60
"""How much larger the daemon may be afterwards: buffers of a thousand clients, and Python's own habits."""

HEADS = {
    "nothing": b"",
    "blank lines": b"\r\n" * 500,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "no version": b"GET / HTTP/\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "no target": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with blanks": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target of junk": b"GET http://[::1:99999/%zz?\x7f HTTP/1.1\r\n" + HOST + b"\r\n",
    "a long target": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method of junk": b"\x00\x01\x02 / HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT evil:25 HTTP/1.1\r\nHost: evil:25\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a host of junk": b"GET / HTTP/1.1\r\nHost: \x1b[2J\x00\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\n" + HOST + b"junk\r\n\r\n",
    "a header with a blank": b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "a lone return": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n",
    "a header of NUL": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "a large header": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 100_000 + b"\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "a list of lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2, 9\r\n\r\n{}",
    "a length below zero": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n{}",
    "a length of signs": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +2\r\n\r\n{}",
    "an absurd length": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: "
    + b"9" * 30
    + b"\r\n\r\n{}",
    "a length and chunks": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /own HTTP/1.1\r\n\r\n",
    "chunks twice": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks in disguise": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}",
    "an absurd chunk": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx",
    "a chunk of junk": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n",
    "an endless extension": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n1;"
    + b"a" * 300_000,
    "a body cut short": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n{",
    "a WebSocket of junk": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: !\r\n"
    + b"Sec-WebSocket-Version: 99\r\n\r\n\xff\xff\xff\xff",
    "an upgrade to HTTP/2": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    "a crowd": (b"GET /v1/apps HTTP/1.1\r\n" + HOST + AUTH + b"\r\n") * 30,
    "expecting": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "JSON of depth": b"POST /v1/apps HTTP/1.1\r\n"
    + HOST
    + AUTH
    + b"Content-Length: 100000\r\n\r\n"
    + b"[" * 100_000,
    "no JSON": b"POST /v1/apps HTTP/1.1\r\n"
    + HOST
    + AUTH
    + b"Content-Length: 4\r\n\r\n\xff\xfe\x00{",
    "a large body": b"POST /v1/apps HTTP/1.1\r\n"
    + HOST
    + AUTH
    + b"Content-Length: 1000000000\r\n\r\n"
    + b" " * 8_000_000,
}


@contextlib.contextmanager
def few_open_files():
    """Let what is started be given as few open files as most systems give."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * IDLE)), hard))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A daemon with one app, whose one machine runs; gives it with the ports of API and app."""
    folder = tmp_path_factory.mktemp("traffic")
    parts = write_parts(folder / "parts")
    found = LocalDaemon(folder / "home", folder / "cache")
    try:
        built = found.command("image", "build", str(parts), "--version", "1", "--ref", REF)
        assert built.returncode == 0, built.stderr
        with few_open_files():
            found.start()
        found.new_machine(found.new_app("noisy"))
        found.ask(APP)
        yield found
    finally:
        found.clean()


@pytest.fixture(scope="module")
def ports(site):
    """Where junk goes: the API, and the app through its proxy."""
    app = site.client.get("/localfly/status").json()["apps"]["noisy"]["port"]
    return {"api": site.client.base_url.port, "proxy": app}


@pytest.fixture(autouse=True)
def sound(site, ports):
    """After each test the daemon answers well, has closed what was opened, and has said no traceback."""
    daemon = psutil.Process(site.process.pid)
    before, size = daemon.num_fds(), daemon.memory_info().rss
    yield
    for port in ports.values():
        good = send(port, GOOD, half_close=False, wait_s=LIMIT_S)
        assert good.startswith(b"HTTP/1.1 200 ")
    until(lambda: daemon.num_fds() <= before + 5)
    assert daemon.memory_info().rss - size < ROOM_MB * 2**20
    assert "Traceback" not in (site.home.parent / "home.log").read_text()
    for log in (site.home / "logs").glob("*.log"):
        assert "internal error" not in log.read_text(errors="replace")


def connect(port, timeout=LIMIT_S):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def send(port, content, *, half_close=True, wait_s=5.0):
    """Send what may be refused in the middle; return what came back until the end, or until `wait_s`."""
    with connect(port, wait_s) as client:
        with contextlib.suppress(OSError):
            client.sendall(content)
            if half_close:
                client.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while more := client.recv(65536):
                answer += more
        return answer


@pytest.mark.parametrize("where", ["api", "proxy"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_junk_is_refused_or_answered(ports, where, head):
    answer = send(ports[where], head)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith(b"HTTP/1.1 500")
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "name", ["two lengths", "a list of lengths", "a length below zero", "a chunk of junk"]
)
def test_a_contradiction_about_length_never_reaches_the_machine(site, ports, name):
    before = site.ask(APP, "/count")["count"]

    answer = send(ports["proxy"], HEADS[name], half_close=False)

    assert b" 400 " in answer.split(b"\r\n")[0]
    assert site.ask(APP, "/count")["count"] == before + 1


def test_what_is_hidden_behind_a_body_is_no_request_of_its_own(site, ports):
    before = site.ask(APP, "/count")["count"]

    answer = send(ports["proxy"], HEADS["a length and chunks"])

    assert answer.count(b"HTTP/1.1 ") <= 2
    assert site.ask(APP, "/count")["count"] <= before + 2


PIECES = st.sampled_from(
    [
        *(b"GET / HTTP/1.1\r\n", b"POST /v1/apps HTTP/1.1\r\n", HOST, AUTH, b"\r\n", b"\n", b" "),
        *(
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
        ),
        *(
            b"Connection: upgrade\r\nUpgrade: websocket\r\n",
            b"Connection: close\r\n",
            b"\x00",
            b"\xff",
        ),
        *(b"{", b"}", b'{"name": "x"}', b"Fly-Force-Instance-Id: x\r\n", b": ", b"\t", b"hello"),
    ]
)


@pytest.mark.parametrize("where", ["api", "proxy"])
@given(st.lists(PIECES | st.binary(max_size=20), max_size=12).map(b"".join))
@examples(15)
def test_any_bytes_are_refused_or_answered(ports, where, content):
    answer = send(ports[where], content)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answer


VANISHING = {
    "before the head": b"",
    "in the head": b"GET / HTTP/1.1\r\nHo",
    "in the body": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nabc",
    "in the body of a call": b"POST /v1/apps HTTP/1.1\r\n"
    + HOST
    + AUTH
    + b"Content-Length: 1000\r\n\r\nabc",
    "in a chunk": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "after the request": b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "with more behind": b"GET / HTTP/1.1\r\n" + HOST + b"\r\nGET /next",
}


@pytest.mark.parametrize("where", ["api", "proxy"])
@pytest.mark.parametrize("sent", VANISHING.values(), ids=VANISHING.keys())
def test_clients_that_vanish_leave_nothing_behind(ports, where, sent):
    for number in range(15):
        client = connect(ports[where])
        client.sendall(sent)
        if number % 3 == 0:
            cut(client)
        elif number % 3 == 1:
            client.shutdown(socket.SHUT_WR)
            client.close()
        else:
            client.close()


def test_clients_that_vanish_while_a_machine_wakes_leave_nothing_behind(site, ports):
    [machine] = site.call("GET", f"{APP}/machines")
    site.call("POST", f"{APP}/machines/{machine['id']}/stop", {})
    site.wait(APP, machine["id"], "stopped", instance_id=machine["instance_id"])

    clients = [connect(ports["proxy"]) for _ in range(20)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    for client in clients:
        cut(client)

    assert site.ask(APP) == {"path": "/"}


def test_a_thousand_idle_clients_keep_nobody_out(site, ports):
    clients = []
    try:
        for port in itertools.islice(itertools.cycle(ports.values()), IDLE):
            clients.append(connect(port))  # noqa: PERF401 - what was opened is closed, whatever happens
        assert site.ask(APP, "/in-between") == {"path": "/in-between"}
        assert site.client.get("/localfly/status").status_code == 200
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("where", ["api", "proxy"])
def test_slow_clients_keep_nobody_out(site, ports, where):
    clients = [connect(ports[where]) for _ in range(50)]
    try:
        for letter in b"GET / HTTP/1.1\r\nX: ":
            for client in clients:
                client.sendall(bytes([letter]))
        assert site.ask(APP, "/in-between") == {"path": "/in-between"}
    finally:
        for client in clients:
            client.close()


def test_frames_of_junk_in_a_tunnel_end_it_and_nothing_else(ports):
    """The machine takes no upgrade; what comes behind the request is nobody's."""
    upgrade = (
        b"GET / HTTP/1.1\r\n"
        + HOST
        + b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    for _ in range(10):
        answer = send(ports["proxy"], upgrade + os.urandom(2000), wait_s=2)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")


@pytest.mark.skipif(not THOROUGH, reason="./run fuzz does it: takes a minute")
def test_junk_for_long_does_not_make_it_grow(ports):
    for _ in range(200):
        for where in ports:
            for head in HEADS.values():
                send(ports[where], head[:100_000])
