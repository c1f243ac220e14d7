"""The server's answers become values, or errors that say what to do."""

from __future__ import annotations

import pytest

from helpers.flow_server_api import PREFECT
from helpers.raw_server import raw_server
from roost_flows.errors import (
    FencedError,
    ForgottenError,
    NoFlowServersError,
    RefusedError,
    UnreachableError,
    WrongLoginError,
)
from roost_flows.server_client import ServerClient
from roost_flows.settings import read_settings


def test_each_request_carries_the_header_of_this_start(client, server):
    client.prefect_version()
    client.record()
    client.drain(draining=True)

    assert server.callers == ["nightly/b1"] * 3


def test_it_announces_what_the_server_keeps(client, server):
    server.canary = True

    assert client.online(PREFECT)

    assert server.called("online") == [
        {
            "boot": "b1",
            "version": "01V",
            "address": "http://acme-nightly.flycast",
            "prefect": PREFECT,
            "missed": "run_latest",
        }
    ]


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, WrongLoginError, "PREFECT_API_AUTH_STRING"),
        (404, NoFlowServersError, "no Roost server with flow servers"),
        (405, NoFlowServersError, "no Roost server with flow servers"),
        (409, FencedError, "the server ended this start of the flow server nightly"),
        (422, RefusedError, "refuses POST /roost/flow-servers/nightly/online with status 422"),
        (502, UnreachableError, "answers POST /roost/flow-servers/nightly/online with status 502"),
        (503, UnreachableError, "fly logs"),
    ],
)
def test_a_refusal_has_a_class_of_its_own(client, server, status, error, words):
    server.statuses["online"] = [status]

    with pytest.raises(error, match=words):
        client.online(PREFECT)


@pytest.mark.parametrize("path", ["record", "drain", "canary"])
def test_a_server_that_has_no_record_of_it_forgot_it(client, server, path):
    server.statuses[path] = [404]
    calls = {
        "record": client.record,
        "drain": lambda: client.drain(draining=True),
        "canary": client.canary_done,
    }

    with pytest.raises(ForgottenError, match="no record of nightly any more"):
        calls[path]()


def test_another_server_s_page_is_no_answer(client, server):
    """A server without these endpoints may answer any path with its pages."""
    server.answer = lambda *_: (200, "<html>")

    with pytest.raises(NoFlowServersError):
        client.online(PREFECT)


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
def test_what_is_no_answer_means_that_the_server_is_away(variables, answer):
    with raw_server(lambda connection: connection.sendall(answer)) as server:
        url = f"{server.url}/api"
        client = ServerClient(read_settings({**variables, "PREFECT_API_URL": url}, "b1"))

        with pytest.raises(UnreachableError, match="does not answer"):
            client.prefect_version()


def test_a_server_below_a_path_is_reached_there(variables, server):
    settings = read_settings({**variables, "PREFECT_API_URL": f"{server.url}/"}, "b1")

    assert ServerClient(settings).prefect_version() == PREFECT
