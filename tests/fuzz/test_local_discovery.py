"""Whatever answers where the local Fly should, or stopped answering: a sentence, and the next step."""

from __future__ import annotations

import json

import pytest

from helpers.raw_server import cut, raw_server

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def says(content):
    return lambda connection: connection.sendall(HEAD % len(content) + content)


JUNK = {
    "a reset": cut,
    "no HTTP": lambda connection: connection.sendall(b"SSH-2.0-x\r\n"),
    "a page": says(b"<html></html>"),
    "a list": says(b"[]"),
    "nothing": says(b""),
    "null": says(b"null"),
    "no number": says(b'{"pid": "x", "apps": {}}'),
    "no apps": says(b'{"pid": 5, "apps": 7}'),
    "a failure": lambda connection: connection.sendall(b"HTTP/1.1 500 No\r\n\r\n"),
}


def assert_told(said):
    assert said.code in {1, 3}
    assert said.err.splitlines()[-1].startswith("roost: error [")
    assert "[internal]" not in said.err


@pytest.fixture
def record(tmp_path):
    """Writes the record by which the local Fly is found."""
    home = tmp_path / "localfly"
    home.mkdir()
    return (home / "daemon.json").write_bytes


@pytest.mark.parametrize("script", JUNK.values(), ids=JUNK.keys())
def test_another_program_on_its_port_is_not_taken_for_it(roost, record, script):
    with raw_server(script) as server:
        record(json.dumps({"api_url": server.url, "pid": 5}).encode())

        assert_told(roost("local", "status"))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"api_url": 5}', b'{"api_url": "http://[::1"}'],
)
def test_a_record_of_junk_is_none(roost, record, content):
    record(content)

    said = roost("local", "status")

    assert_told(said)
    assert "The local Fly does not run." in said.err


def test_one_that_stops_answering_is_told(roost, record):
    """It is found, and gone at the next call."""
    status = json.dumps({"pid": 5, "apps": {}}).encode()
    answers = iter([says(status)])

    def script(connection):
        next(answers, cut)(connection)

    with raw_server(script) as server:
        record(json.dumps({"api_url": server.url, "pid": 5}).encode())

        said = roost("local", "status")

    assert_told(said)
    assert "does not answer as it should" in said.err
