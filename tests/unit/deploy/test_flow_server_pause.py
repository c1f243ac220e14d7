"""A flow server that stops pauses no schedule: Prefect's runner tries to when it ends."""

from __future__ import annotations

import asyncio
import json

import pytest

from helpers.asgi_calls import Client, answer, body_of, chunks, http
from helpers.flow_books import Scene, online
from roost_server import flow_server_book
from roost_server.flow_server_clients import Clients
from roost_server.flow_server_layer import FlowServerLayer

LOGIN = {"PREFECT_SERVER_API_AUTH_STRING": "admin:s3cret"}
AUTH = {"authorization": "Basic YWRtaW46czNjcmV0"}
FLOW_SERVER = {"x_roost_flow_server": "nightly/b1"}
DEPLOYMENT = "/api/deployments/0f8b9a52-8f7e-4a0c-9d5e-6c2f41a6b9d1"
PAUSE = {"paused": True}


@pytest.fixture
def patch(monkeypatch):
    """Sends a change of a deployment; returns the status and what Prefect saw of it."""

    async def nothing(*_, **__):
        return 0

    monkeypatch.setattr(flow_server_book, "settle_runs", nothing)
    monkeypatch.setattr(flow_server_book, "skip_missed", nothing)
    seen = []

    async def prefect(_, receive, send):
        seen.append(json.loads(await body_of(receive)))
        await answer(send, 201, b"")

    async def play(body, *, draining, path, headers):
        book = Scene().book
        await book.load()
        await book.come_online("nightly", online("b1"))
        await book.drain("nightly", draining=draining)
        layer = FlowServerLayer(
            book, LOGIN, lambda _: None, lambda _: None, lambda: None, Clients(lambda: 0.0)
        ).layer(prefect)
        client = Client(sends=chunks(json.dumps(body).encode()))
        await client.call(layer, http("PATCH", path, **AUTH, **headers))
        return client.statuses, seen

    def run(body, *, draining=True, path=DEPLOYMENT, headers=FLOW_SERVER):
        return asyncio.run(play(body, draining=draining, path=path, headers=headers))

    return run


@pytest.mark.parametrize("path", [DEPLOYMENT, f"{DEPLOYMENT}/"])
def test_a_pause_by_a_draining_flow_server_has_no_effect(patch, path):
    assert patch(PAUSE, path=path) == ([204], [])


@pytest.mark.parametrize(
    "body", [{"paused": False}, {"paused": True, "description": "x"}, {"tags": []}, [], None]
)
def test_other_changes_pass(patch, body):
    assert patch(body) == ([201], [body])


def test_a_pause_by_a_flow_server_that_works_passes(patch):
    """A flow may pause a deployment."""
    assert patch(PAUSE, draining=False) == ([201], [PAUSE])


def test_a_pause_by_somebody_else_passes(patch):
    assert patch(PAUSE, headers={}) == ([201], [PAUSE])


def test_a_pause_of_something_else_passes(patch):
    assert patch(PAUSE, path="/api/work_pools/pool") == ([201], [PAUSE])
