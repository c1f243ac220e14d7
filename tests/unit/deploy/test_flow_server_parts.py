"""The report of clients and flow servers, which a database that is away does not prevent."""

from __future__ import annotations

import asyncio
import json

import pytest

from helpers.asgi_calls import Client, Scripted, chunks, http
from helpers.flow_books import MemoryRecords
from roost_server import (
    flow_server_book,
    flow_server_endpoints,
    flow_server_parts,
    flow_server_watch,
)
from roost_server.flow_server_parts import FlowServers
from roost_server.server_report import REPORT_PATH, report_to_gate

NIGHTLY = {"x_roost_flow_server": "nightly/b1"}
UNKNOWN = {"x_roost_flow_server": "other/b1"}
CLIENTS = {"sockets": 0, "polls_last_minute": 0, "flow_server_sockets": 0}


class Away:
    """A database that cannot be read."""

    def __init__(self, _):
        """Know nothing."""

    async def load(self):
        """Fail."""
        raise OSError("the database is away")


def ask(flows):
    app = report_to_gate(Scripted([]), {}, lambda: {"last_error": ""}, flows.report)
    client = asyncio.run(Client().call(app, http("GET", REPORT_PATH, x_roost_gate="1")))
    return json.loads(client.body)


def test_a_server_without_flow_servers_reports_its_clients(monkeypatch):
    class Empty(Away):
        async def load(self):
            """Return no record."""
            return {}

    monkeypatch.setattr(flow_server_parts, "Store", Empty)

    assert ask(FlowServers({}, lambda: True)) == {
        "last_error": "",
        "clients": CLIENTS,
        "flow_servers": [],
        "next_due": None,
    }


@pytest.mark.parametrize(
    ("headers", "kind", "draining", "counts"),
    [
        pytest.param({}, "websocket", True, True, id="a browser's socket"),
        pytest.param(NIGHTLY, "websocket", False, False, id="a socket of a flow server"),
        pytest.param(NIGHTLY, "websocket", True, False, id="a socket of one that sleeps"),
        pytest.param(NIGHTLY, "http", False, True, id="a request of one that is awake"),
        pytest.param(NIGHTLY, "http", True, False, id="a request that a suspend left"),
        pytest.param(UNKNOWN, "websocket", True, True, id="of a flow server that nobody knows"),
    ],
)
def test_the_sockets_of_a_flow_server_that_sleeps_keep_nobody_awake(
    monkeypatch, headers, kind, draining, counts
):
    monkeypatch.setattr(flow_server_parts, "Store", lambda _: MemoryRecords())

    async def act():
        flows = FlowServers({}, lambda: True)
        app = flows.layer(Scripted([]))
        body = {"boot": "b1", "version": "v", "address": "http://a", "prefect": "3.9.1"}
        for what, sent in (("online", body), ("drain", {"draining": draining})):
            client = Client(sends=chunks(json.dumps(sent).encode()))
            await client.call(app, http("POST", f"/roost/flow-servers/nightly/{what}"))
        return flows.keeps_awake({**http("POST", "/api", **headers), "type": kind})

    for module, name in ((flow_server_book, "settle_runs"), (flow_server_book, "skip_missed")):
        monkeypatch.setattr(module, name, nothing)
    for name in ("waiting_runs", "active_runs", "explain_untaken", "deployment_names"):
        monkeypatch.setattr(flow_server_endpoints, name, nothing)
    monkeypatch.setattr(flow_server_watch, "waiting_runs", nothing)

    assert asyncio.run(act()) is counts


async def nothing(*_, **__):
    return {}


def test_a_database_that_is_away_leaves_the_rest_of_the_report(monkeypatch, capsys):
    monkeypatch.setattr(flow_server_parts, "Store", Away)

    assert ask(FlowServers({}, lambda: True)) == {"last_error": "", "clients": CLIENTS}
    assert "no report of flow servers (OSError: the database is away)" in capsys.readouterr().out
