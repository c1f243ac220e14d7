"""The endpoints below /roost/flow-servers; tests/e2e/test_flow_servers.py has those with a database."""

from __future__ import annotations

import asyncio
import json

import pytest

from helpers.asgi_calls import Client, Scripted, chunks, http
from helpers.flow_books import Scene, online
from roost_server import flow_server_book, flow_server_endpoints, flow_server_watch
from roost_server.flow_server_endpoints import ROOT, FlowServerEndpoints
from roost_server.flow_server_wake import Waker
from roost_server.flow_server_watch import FlowWatch
from roost_server.next_due import DueTimes

LOGIN = {"PREFECT_SERVER_API_AUTH_STRING": "admin:s3cret"}
AUTH = {"authorization": "Basic YWRtaW46czNjcmV0"}
ONLINE = {"boot": "b1", "version": "v1", "address": "http://a.flycast", "prefect": "3.9.1"}


class World(Scene):
    """The endpoints of a server whose database holds no run."""

    def __init__(self, monkeypatch):
        super().__init__()

        async def nothing(*_, **__):
            return []

        async def none(*_, **__):
            return {}

        for name in ("waiting_runs", "active_runs", "explain_untaken"):
            monkeypatch.setattr(flow_server_endpoints, name, nothing)
        monkeypatch.setattr(flow_server_watch, "waiting_runs", nothing)
        monkeypatch.setattr(flow_server_endpoints, "deployment_names", none)
        for name in ("settle_runs", "skip_missed"):
            monkeypatch.setattr(flow_server_book, name, nothing)
        self.woken = []
        waker = Waker(lambda: 0.0, self.get)
        watch = FlowWatch(self.book, waker, lambda: True)
        due_times = DueTimes((watch,), (), lambda: True)
        self.prefect = Scripted([200])
        endpoints = FlowServerEndpoints(self.book, waker, due_times, LOGIN)
        self.app = endpoints.layer(self.prefect)

    async def get(self, address):
        """Answer as an address that wakes."""
        self.woken.append(address)
        return 200

    async def call(self, method, path, body=b"", **headers):
        """Call an endpoint; return the status and the document."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = Client(sends=chunks(text))
        await client.call(self.app, http(method, path, **{**AUTH, **headers}))
        [status] = client.statuses
        is_json = client.body.startswith((b"{", b"["))
        return status, json.loads(client.body) if is_json else None


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def call(world, *arguments, **headers):
    return asyncio.run(world.call(*arguments, **headers))


@pytest.mark.parametrize("path", [ROOT, f"{ROOT}/nightly", f"{ROOT}/nightly/online", f"{ROOT}/x/y"])
def test_nobody_without_the_login_learns_anything(world, path):
    assert call(world, "POST", path, ONLINE, authorization="Basic eDp5") == (401, None)
    assert world.records.loads == 0


@pytest.mark.parametrize("path", ["/roost/flow-serversx", "/roost/report", "/api/flow_runs/"])
def test_everything_else_passes(world, path):
    call(world, "POST", path, {})

    assert world.prefect.bodies == [b"{}"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{ROOT}/nightly", 404),
        ("DELETE", f"{ROOT}/nightly", 404),
        ("POST", f"{ROOT}/nightly/drain", 404),
        ("POST", f"{ROOT}/nightly/else", 404),
        ("POST", f"{ROOT}/Nightly/online", 404),
        ("POST", f"{ROOT}/../../x", 404),
        ("POST", ROOT, 405),
        ("GET", f"{ROOT}/nightly/online", 405),
        ("PUT", f"{ROOT}/nightly", 405),
    ],
)
def test_what_is_not_there_is_named(world, method, path, status):
    found, document = call(world, method, path, {})

    assert found == status
    assert document["detail"].endswith(".")


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("online", b"{"),
        ("online", []),
        ("online", {**ONLINE, "boot": "a b"}),
        ("canary", {}),
        ("canary", b"\xff"),
        ("drain", {"draining": "yes"}),
        ("drain", b"[" * 100_000),
    ],
)
def test_a_bad_body_changes_nothing(world, what, body):
    async def play():
        await world.book.come_online("nightly", online())
        before = dict(world.records.rows)
        return await world.call("POST", f"{ROOT}/nightly/{what}", body), before

    (status, document), before = asyncio.run(play())

    assert status == 422
    assert document["detail"]
    assert world.records.rows == before


def test_a_canary_runs_once_for_each_version(world):
    async def play():
        found = []
        for body in (ONLINE, ONLINE, {**ONLINE, "boot": "b2", "version": "v2"}):
            status, document = await world.call("POST", f"{ROOT}/nightly/online", body)
            found.append((status, document["canary"]))
            done = {"version": body["version"]}
            await world.call("POST", f"{ROOT}/nightly/canary", done)
        return found

    assert asyncio.run(play()) == [(200, True), (200, False), (200, True)]


def test_the_record_is_as_the_protocol_has_it(world):
    async def play():
        await world.call("POST", f"{ROOT}/nightly/online", ONLINE)
        one = await world.call("POST", f"{ROOT}/nightly/drain", {"draining": True})
        return one, await world.call("GET", ROOT)

    (status, record), (_, listed) = asyncio.run(play())

    assert status == 200
    assert listed == {"flow_servers": [record]}
    assert record == {
        "name": "nightly",
        "address": "http://a.flycast",
        "boot": "b1",
        "version": "v1",
        "prefect": "3.9.1",
        "missed": "run_latest",
        "online_at": "1970-01-12T13:46:40+00:00",
        "seen_at": "1970-01-12T13:46:40+00:00",
        "polled_at": None,
        "draining": True,
        "deployments": [],
        "pools": [],
        "running": [],
        "due": None,
        "overdue": 0,
        "gave_up": False,
        "untaken": [],
        "wake_error": "",
    }


def test_a_replaced_start_is_refused_here_too(world):
    async def play():
        for boot in ("b1", "b2"):
            await world.book.come_online("nightly", online(boot))
        header = {"x_roost_flow_server": "nightly/b1"}
        return [
            await world.call("GET", f"{ROOT}/nightly", **header),
            await world.call("POST", f"{ROOT}/nightly/online", ONLINE),
        ]

    assert [status for status, _ in asyncio.run(play())] == [409, 409]


def test_it_is_woken_on_request_and_forgotten_on_request(world):
    async def play():
        await world.call("POST", f"{ROOT}/nightly/online", ONLINE)
        woken = await world.call("POST", f"{ROOT}/nightly/wake")
        await asyncio.sleep(0)
        forgotten = await world.call("DELETE", f"{ROOT}/nightly")
        return woken, forgotten, await world.call("GET", f"{ROOT}/nightly")

    (woken, _), (forgotten, _), (after, _) = asyncio.run(play())

    assert (woken, forgotten, after) == (202, 204, 404)
    assert world.woken == ["http://a.flycast"]
    assert world.records.rows == {}


def test_a_database_that_is_away_is_a_reason_to_try_again(world):
    world.records.fails = True

    assert call(world, "POST", f"{ROOT}/nightly/online", ONLINE)[0] == 503
