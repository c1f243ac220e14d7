"""A server is held still as long as the body runs, and it is known whether it was."""

from __future__ import annotations

import anyio
import httpx
import pytest

from helpers import virtual_time
from roost.prefect import write_freeze
from roost.prefect.transport import prefect_client
from roost.prefect.write_freeze import BEGUN, NotFrozenError, NothingToFreezeError, freeze_writes
from roost.secret_text import SecretText

AUTH = SecretText("admin:s3cret")


class Server(httpx.AsyncBaseTransport):
    """Answers each request with the next status; a hold lasts until it is hung up, or is over at once."""

    def __init__(self, *statuses, first=f"{BEGUN}\n", over=False):
        self.statuses = list(statuses)
        self.first, self.over = first, over
        self.asked = []
        self.holding = False

    async def handle_async_request(self, request):
        """Answer one request."""
        self.asked.append(request)
        status = self.statuses.pop(0) if self.statuses else 200
        return httpx.Response(status, stream=Stream(self))


class Stream(httpx.AsyncByteStream):
    """The answer to a hold."""

    def __init__(self, server):
        self.server = server

    async def __aiter__(self):
        self.server.holding = True
        yield self.server.first.encode()
        if not self.server.over:
            await anyio.sleep_forever()

    async def aclose(self):
        """Let go."""
        self.server.holding = False


def hold(server, body=None):
    """Hold a server still, and return what the body found."""

    async def run():
        async with (
            prefect_client("http://prefect.test", 5, transport=server) as http,
            freeze_writes(http, AUTH) as found,
        ):
            assert server.holding
            if body:
                raise body
            return await found.lasts()

    return virtual_time.run(run)


@pytest.fixture(autouse=True)
def waiting_takes_no_time(monkeypatch):
    monkeypatch.setattr(write_freeze, "ATTEMPTS", 2)


def test_it_is_held_while_the_body_runs_and_let_go_after_it():
    server = Server()

    assert hold(server) is True
    assert not server.holding


def test_it_is_let_go_when_the_body_fails():
    server = Server()

    with pytest.raises(RuntimeError, match="no snapshot"):
        hold(server, RuntimeError("no snapshot"))

    assert not server.holding


def test_a_hold_that_the_server_ended_is_no_hold_any_more():
    assert hold(Server(over=True)) is False


def test_it_asks_as_the_gate_does_and_logged_in():
    server = Server()
    hold(server)

    [request] = server.asked
    assert (request.method, request.url.path) == ("POST", "/roost/hold")
    assert request.headers["x-roost-gate"] == "1"
    assert request.headers["authorization"] == "Basic YWRtaW46czNjcmV0"


def test_a_writer_that_does_not_end_is_tried_again():
    server = Server(503)

    assert hold(server) is True
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [404, 405])
def test_an_image_of_before_that_has_nothing_to_hold_says_so_too(status):
    with pytest.raises(NothingToFreezeError, match=f"it answered {status}: it has no database"):
        hold(Server(status, over=True))


def test_a_server_with_nothing_to_hold_says_why():
    told = "its database is postgres,\nand not\x1b the file on the volume\n"
    server = Server(409, first=told, over=True)

    with pytest.raises(NothingToFreezeError) as caught:
        hold(server)

    assert str(caught.value) == "its database is postgres, and not? the file on the volume"
    assert not server.holding


@pytest.mark.parametrize("statuses", [(500,), (401,), (503, 503)])
def test_a_server_that_does_not_hold_says_so(statuses):
    with pytest.raises(NotFrozenError, match=f"it answered {statuses[-1]}"):
        hold(Server(*statuses))


def test_another_answer_than_our_image_gives_is_no_hold():
    server = Server(first="<html>\n")

    with pytest.raises(NotFrozenError, match="something else"):
        hold(server)

    assert not server.holding


def test_a_server_that_is_not_there_does_not_hold():
    async def refuse(_):
        raise httpx.ConnectError("refused")

    with pytest.raises(NotFrozenError, match="cannot be reached: ConnectError"):
        hold(httpx.MockTransport(refuse))
