"""While the database is copied, Fly's check passes and clients are asked to come back."""

from __future__ import annotations

import httpx
import pytest

from helpers.prefect_process import free_port
from roost_machine.sleep_request import PROXY_HEADER
from roost_server import move_answers
from roost_server.move_answers import turning_clients_away

PROXIED = {"fly-client-ip": "10.0.0.1", PROXY_HEADER: "1"}
SOCKET = {"connection": "upgrade", "upgrade": "websocket"}


@pytest.fixture
def url(monkeypatch):
    """The address of a machine that copies."""
    monkeypatch.setattr(move_answers, "SOCKET_S", 0)
    port = free_port()
    settings = {"PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": str(port)}
    with turning_clients_away(settings):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("verb", "path", "headers", "status"),
    [
        ("GET", "/api/health", {}, 200),
        ("GET", "/api/health", PROXIED, 503),
        ("POST", "/api/flow_runs/", PROXIED, 503),
        ("GET", "/api/events/in", {**PROXIED, **SOCKET}, 503),
    ],
    ids=["check", "visitor", "write", "socket"],
)
def test_only_a_check_of_the_host_passes(url, verb, path, headers, status):
    body = b"x" * 2**20 if verb == "POST" else None

    found = httpx.request(verb, f"{url}{path}", headers=headers, content=body, trust_env=False)

    assert found.status_code == status
    assert found.headers.get("prefect-maintenance") == (None if status == 200 else "true")


def test_without_a_port_of_its_own_it_lets_the_copy_go_on(url, capsys):
    taken = {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": url.rpartition(":")[2],
    }
    with turning_clients_away({}), turning_clients_away(taken):
        pass
    assert "clients get no answer during the copy" in capsys.readouterr().out
