"""The reader of HTTP/1.1: what it takes from a client and a machine, and what it refuses."""

from __future__ import annotations

import pytest

from localfly.proxy.http1 import HEAD_BYTES, RequestReader, ResponseReader
from localfly.proxy.messages import End, NotHttpError

HOST = b"Host: x\r\n"


def requests(*parts):
    """Feed parts to a reader of requests and return its events."""
    reader = RequestReader()
    for part in parts:
        reader.feed(part)
    return list(reader.events)


def responses(*parts, method=b"GET", ended=False):
    """Feed parts to a reader of responses and return it with its events."""
    reader = ResponseReader(method)
    for part in parts:
        reader.feed(part)
    if ended:
        reader.end()
    return reader, list(reader.events)


def test_a_request_in_single_bytes_is_the_same_request():
    data = b"POST /a?b HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok"

    head, first, second, end = requests(*(data[n : n + 1] for n in range(len(data))))

    assert (head.method, head.target, head.length) == (b"POST", b"/a?b", 2)
    assert (first + second, end) == (b"ok", End([]))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"SEARCHING / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (
            b"POST / HTTP/1.1\r\n"
            + HOST
            + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: a\r\n" * (HEAD_BYTES // 6) + b"\r\n", 431),
        (b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
    ],
)
def test_what_is_not_served_has_a_status_to_answer_with(data, status):
    error = requests(data)[-1]

    assert isinstance(error, NotHttpError)
    assert error.status == status


DOUBTFUL = {
    "a length twice": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a list of lengths": b"Content-Length: 2, 2\r\n\r\nok",
    "a length with a sign": b"Content-Length: +2\r\n\r\nok",
    "a length in hex": b"Content-Length: 0x2\r\n\r\nok",
    "an empty length": b"Content-Length:\r\n\r\n",
    "a length behind a fold": b"Content-Length:\r\n 2\r\n\r\nok",
    "a blank before the colon": b"Content-Length : 2\r\n\r\nok",
    "a quoted encoding": b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "an encoding with a parameter": b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "an encoding behind a comma": b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "an encoding twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "an encoding behind a control": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "an empty encoding": b"Transfer-Encoding:\r\nContent-Length: 2\r\n\r\nok",
    "a chunk size with a blank": b"Transfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n",
    "a chunk size with a bare LF": b"Transfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
    "an extension with a bare LF": b"Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\nok\r\n0\r\n\r\n",
    "a folded header": b"X: a\r\n Content-Length: 2\r\n\r\n",
    "a bare LF": b"X: a\nContent-Length: 2\r\n\r\n",
    "a bare CR": b"X: a\rContent-Length: 2\r\n\r\n",
    "a NUL": b"X: a\0b\r\n\r\n",
}


@pytest.mark.parametrize("lines", DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_what_two_servers_could_frame_differently_is_refused(lines):
    asked = requests(b"POST / HTTP/1.1\r\n" + HOST + lines)
    _, answered = responses(b"HTTP/1.1 200 OK\r\n" + lines)

    assert isinstance(asked[-1], NotHttpError)
    assert isinstance(answered[-1], NotHttpError)


@pytest.mark.parametrize("tail", [b"1;" + b"a" * HEAD_BYTES, b"0\r\n" + b"A: a\r\n" * HEAD_BYTES])
def test_what_surrounds_chunks_is_limited_as_a_head_is(tail):
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"

    assert isinstance(requests(head, tail)[-1], NotHttpError)


def test_trailers_come_with_the_end():
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"

    _, body, end = requests(head + b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")

    assert (body, end) == (b"ok", End([(b"x-sum", b"1")]))


def test_the_body_of_a_request_that_also_asks_for_another_protocol_is_read():
    """Java's HttpClient asks for HTTP/2 with every first request, also with a POST."""
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    following = b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n"

    sized = requests(head + b"Content-Length: 3\r\n\r\nab", b"c" + following)
    chunked = requests(
        head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n" + following
    )
    empty = requests(head + b"Content-Length: 0\r\n\r\n" + following)

    assert [type(event).__name__ for event in empty] == ["Request", "End", "Request", "End"]
    assert not sized[0].is_upgrade
    assert b"".join(event for event in sized if isinstance(event, bytes)) == b"abc"
    assert chunked[1:3] == [b"abc", End([(b"x", b"1")])]
    assert sized[-2].target == chunked[-2].target == b"/2"


def test_what_follows_an_upgrade_waits_for_what_becomes_of_it():
    reader = RequestReader()
    ask = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    following = b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n"

    reader.feed(ask + following[:5])
    reader.feed(following[5:])
    waiting = len(reader.events), reader.rest_bytes
    reader.read_on()

    assert waiting == (2, len(following))
    assert reader.events[-2].target == b"/2"


@pytest.mark.parametrize(
    ("method", "data", "has_body"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", False),
        (b"GET", b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", False),
        (b"GET", b"HTTP/1.1 204 x\r\n\r\n", False),
        (b"GET", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", True),
    ],
)
def test_a_response_ends_where_its_request_and_status_say(method, data, has_body):
    reader, (head, end) = responses(data, method=method)

    assert (head.has_body, end, reader.reusable) == (has_body, End([]), True)


def test_a_response_in_single_bytes_is_the_same_response():
    data = b"HTTP/1.1 200 All Is Well\r\nContent-Length: 2\r\n\r\nok"

    _, (head, *_) = responses(*(data[n : n + 1] for n in range(len(data))))

    assert (head.status, head.reason) == (200, b"All Is Well")


def test_interim_responses_come_before_the_last():
    reader, events = responses(
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )

    assert [event.status for event in events if hasattr(event, "status")] == [103, 200]
    assert reader.reusable


def test_a_body_without_a_length_ends_with_the_connection():
    open_still, _ = responses(b"HTTP/1.1 200 OK\r\n\r\nbody")
    closed, events = responses(b"HTTP/1.1 200 OK\r\n\r\nbody", ended=True)

    assert not open_still.complete
    assert (events[1:], closed.reusable) == ([b"body", End([])], False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    ],
)
def test_a_connection_is_used_again_only_after_exactly_one_response(data):
    reader, events = responses(data)

    assert events[1:] == [b"ok", End([])]
    assert not reader.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * HEAD_BYTES,
    ],
)
def test_a_response_that_is_not_served_is_an_error(data):
    _, events = responses(data)

    assert isinstance(events[-1], NotHttpError)


def test_what_follows_a_switch_of_protocols_is_kept():
    reader, (head, _) = responses(
        b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nab", b"c"
    )

    assert (head.status, reader.take_rest()) == (101, b"abc")
