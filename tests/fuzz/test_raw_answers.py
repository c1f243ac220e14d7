"""Answers that are no answers: each call ends in a sentence, in time, and with little in memory."""

from __future__ import annotations

import gzip
import time

import anyio
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzing import examples
from helpers.raw_server import cut, raw_server
from helpers.waiting import LIMIT_S
from roost.errors import FlyAnswerError, FlyError, FlyUnavailableError, RoostError
from roost.fly.client import FlyClient
from roost.http.exchange import MAX_BYTES
from roost.prefect.probe import Server, prove, select_checks
from roost.prefect.transport import prefect_client
from roost.secret_text import SecretText

OK = b"HTTP/1.1 200 OK\r\n"
DEADLINE_S = 0.6
MARGIN_S = LIMIT_S  # for a computer that is busy; what hangs, hangs for longer
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"


def says(content):
    """A script that sends this and hangs up."""
    return lambda connection: connection.sendall(content)


def for_ever(head, part, pause_s=0.0):
    """A script that begins so and never ends."""

    def script(connection):
        connection.sendall(head)
        while True:
            connection.sendall(part)
            time.sleep(pause_s)

    return script


def silent(connection):
    """Take the request and say nothing."""
    connection.recv(1)


def body(content, headers=b""):
    """A whole answer."""
    return says(OK + headers + b"Content-Length: %d\r\n\r\n" % len(content) + content)


ENDLESS = {
    "silence": silent,
    "status-line": for_ever(b"HTTP/1.1 200 ", b"O"),
    "header": for_ever(OK + b"X-A: ", b"a" * 1000),
    "headers": for_ever(OK, b"X-A: a\r\n" * 100),
    "interim answers": for_ever(b"", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 10),
    "drip in the head": for_ever(OK + b"X-A: ", b"a", 0.02),
    "drip in the body": for_ever(OK + b"Content-Length: 99999999\r\n\r\n", b" ", 0.02),
    "drip of chunks": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.02),
    "chunk size": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 1000),
    "chunk extension": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 1000),
    "trailers": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 100),
}
TOO_LONG = {
    "chunks": for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK),
    "a gigabyte": for_ever(OK + b"Content-Length: 1073741824\r\n\r\n", b" " * 65536),
    "until closed": for_ever(OK + b"\r\n", b"[" * 65536),
    "a refusal": for_ever(b"HTTP/1.1 400 No\r\nContent-Length: 1073741824\r\n\r\n", b" " * 65536),
}
JUNK = {
    "nothing": says(b""),
    "a reset": cut,
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "HTTP/0.9": says(b"<html>hello</html>"),
    "HTTP/2": says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a status of four digits": says(b"HTTP/1.1 2000 OK\r\n\r\n"),
    "a status of zero": says(b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"),
    "a status nobody knows": says(b"HTTP/1.1 799 \x1b[2J\r\nContent-Length: 0\r\n\r\n"),
    "an escape in the reason": says(b"HTTP/1.1 400 \x1b[2J\r\nContent-Length: 0\r\n\r\n"),
    "an escape in the id": body(b"{", b"fly-request-id: \x1b[31mx\r\n"),
    "two lengths": says(OK + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n[]"),
    "a length below zero": says(OK + b"Content-Length: -2\r\n\r\n[]"),
    "a length and chunks": says(
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nnope!\r\n0\r\n\r\n"
    ),
    "a body cut short": says(OK + b"Content-Length: 200\r\n\r\n[]"),
    "a chunk cut short": says(OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n[]"),
    "an absurd chunk": says(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n[]"),
    "a transfer nobody knows": says(OK + b"Transfer-Encoding: gzip, br\r\n\r\n[]"),
    "a body that is no JSON": body(b"<html>502</html>", b"Content-Type: application/json\r\n"),
    "a body that is no UTF-8": body(b'"\xff\xfe\xc0"'),
    "JSON of depth": body(b"[" * 200_000),
    "JSON with a large number": body(b'{"x": 1' + b"0" * 5000 + b"}"),
    "a bomb": body(gzip.compress(b" " * 50_000_000), b"Content-Encoding: gzip\r\n"),
    "a lie about gzip": body(b"[]", b"Content-Encoding: gzip\r\n"),
    "an encoding nobody knows": body(b"[]", b"Content-Encoding: \xff\xff\r\n"),
    "a redirect to nowhere": says(
        b"HTTP/1.1 302 F\r\nLocation: //[::1\r\nContent-Length: 0\r\n\r\n"
    ),
    "a redirect to itself": says(b"HTTP/1.1 307 F\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
    "a redirect to a file": says(
        b"HTTP/1.1 301 F\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
    ),
    "another protocol": says(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\njunk"),
    "an answer without a body": says(b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\nhello"),
    "a cookie of junk": body(b"{", b"Set-Cookie: \xff=;;;=\x00\r\nSet-Cookie: a\r\n"),
}


def look(fly):
    return fly.list_machines("a")


def change(fly):
    return fly.create_machine("a", "n", "iad", {})


def fail(server, call, deadline_s=DEADLINE_S):
    """Make a call that must fail, within its deadline; return the error."""

    async def run():
        client = FlyClient(server.url, SecretText("fm2_token"), deadline_s=deadline_s)
        async with client as fly:
            with anyio.fail_after(deadline_s * 2 + MARGIN_S):
                await call(fly)

    with stamina.set_testing(True, attempts=2, cap=True), pytest.raises(RoostError) as failure:
        anyio.run(run)
    assert str(failure.value).isprintable()
    assert len(str(failure.value)) < 1500
    return failure.value


def each(scripts):
    return pytest.mark.parametrize("script", scripts.values(), ids=scripts.keys())


@each(ENDLESS)
def test_an_answer_that_never_ends_is_given_up(script):
    with raw_server(script) as server:
        assert isinstance(fail(server, look), FlyUnavailableError)


@each(TOO_LONG)
@pytest.mark.parametrize("call", [look, change])
def test_an_answer_of_any_length_is_read_up_to_a_limit_and_once(script, call):
    sent = []

    def counting(connection):
        sent.append(0)
        script(_Counting(connection, sent))

    with raw_server(counting) as server:
        error = fail(server, call)

    assert isinstance(error, (FlyAnswerError, FlyUnavailableError))
    assert sum(sent) < MAX_BYTES + 2**24  # what the sockets in between hold


class _Counting:
    """A socket that notes how much it got rid of."""

    def __init__(self, connection, sent):
        self._connection, self._sent = connection, sent

    def sendall(self, content):
        """Send, and count."""
        self._connection.sendall(content)
        self._sent[-1] += len(content)


@each(JUNK)
@pytest.mark.parametrize("call", [look, change])
def test_junk_ends_in_a_sentence(script, call):
    with raw_server(script) as server:
        error = fail(server, call, LIMIT_S)

    assert isinstance(error, FlyError)
    assert server.connections == 1 or call is look  # what makes something is not sent again


@pytest.mark.parametrize("name", ["a redirect to itself", "a redirect to a file"])
def test_a_redirect_is_not_followed_with_our_token(name):
    with raw_server(JUNK[name]) as server:
        fail(server, look, LIMIT_S)

        assert server.connections == 1


LINES = st.binary(max_size=30) | st.sampled_from(
    [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b"X", b": ", b"\t"]
)


@given(st.lists(LINES, max_size=5), st.binary(max_size=60), st.sampled_from([b"\r\n", b"\n"]))
@examples(15)
def test_any_head_and_any_body_end_in_a_sentence_or_in_a_list(head, content, ending):
    answer = b"HTTP/1.1 200 OK" + ending + ending.join(head) + ending + ending + content

    async def run(url):
        async with FlyClient(url, SecretText("fm2_token"), deadline_s=DEADLINE_S) as fly:
            with anyio.fail_after(DEADLINE_S * 2 + MARGIN_S):
                try:
                    return await fly.list_machines("a")
                except RoostError as error:
                    return error

    with raw_server(says(answer)) as server, stamina.set_testing(True, attempts=1, cap=True):
        found = anyio.run(run, server.url)

    assert isinstance(found, (tuple, FlyError))
    assert str(found).isprintable()


@pytest.mark.parametrize(
    "script",
    [
        JUNK["a bomb"],
        JUNK["no HTTP"],
        JUNK["JSON of depth"],
        JUNK["a redirect to nowhere"],
        *TOO_LONG.values(),
    ],
)
def test_the_proof_of_a_server_fails_on_junk_and_never_breaks(script):
    checks = tuple(c for c in select_checks(login=False, stock=True) if c.name == "version")

    async def run(url):
        async with prefect_client(url, 5) as http:
            return [r async for r in prove(Server(http), checks, time.monotonic)]

    with raw_server(script) as server:
        [result] = anyio.run(run, server.url)

    assert not result.ok
    assert result.detail.isprintable()
