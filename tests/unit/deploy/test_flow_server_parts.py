"""The report of clients and flow servers, which a database that is away does not prevent."""

from __future__ import annotations

import asyncio
import json

from helpers.asgi_calls import Client, Scripted, http
from roost_server import flow_server_parts
from roost_server.flow_server_parts import FlowServers
from roost_server.server_report import REPORT_PATH, report_to_gate

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


def test_a_database_that_is_away_leaves_the_rest_of_the_report(monkeypatch, capsys):
    monkeypatch.setattr(flow_server_parts, "Store", Away)

    assert ask(FlowServers({}, lambda: True)) == {"last_error": "", "clients": CLIENTS}
    assert "no report of flow servers (OSError: the database is away)" in capsys.readouterr().out
