"""The layer for flow servers: who passes, who is refused, and what it learns."""

from __future__ import annotations

import asyncio
import json

import pytest

from helpers.asgi_calls import Client, answer, body_of, chunks, http
from helpers.flow_books import Scene, online
from roost_server import flow_server_book
from roost_server.flow_server_clients import Clients
from roost_server.flow_server_layer import FlowServerLayer
from roost_server.flow_servers import Caller

LOGIN = {"PREFECT_SERVER_API_AUTH_STRING": "admin:s3cret"}
AUTH = {"authorization": "Basic YWRtaW46czNjcmV0"}
OLD, NEW = ({"x_roost_flow_server": f"nightly/{boot}"} for boot in ("b1", "b2"))
POLL, POOL_POLL = (
    f"/api/{each}/get_scheduled_flow_runs" for each in ("deployments", "work_pools/pool")
)
# Fixed, because they are part of the names of tests, which all workers must agree on.
RUN = "7d1b5c52-6a0b-406b-b2ba-b1747c92ca0b"
DEPLOYMENT = "0f8b9a52-8f7e-4a0c-9d5e-6c2f41a6b9d1"
SET_STATE = f"/api/flow_runs/{RUN}/set_state"


class World:
    """The layer around an application that remembers what it saw, with b2 online after b1."""

    def __init__(self, scene, reply=b'{"status": "ACCEPT"}'):
        self.scene, self.reply = scene, reply
        self.seen, self.nudges, self.wanted, self.tries, self.claims = [], 0, 0, 0, []
        self.time, self.expected = 0.0, []
        self.clients = Clients(lambda: self.time)
        layer = FlowServerLayer(
            scene.book, LOGIN, self.expected.append, self.nudge, self.try_again, self.clients
        )
        self.layer = layer.layer(self.app)

    def nudge(self, wanted):
        """Count, and note whether somebody asked for a run."""
        self.nudges += 1
        self.wanted += wanted

    def try_again(self):
        """Count."""
        self.tries += 1

    async def app(self, scope, receive, send):
        """Answer as Prefect does."""
        self.claims.append(dict(self.scene.records.rows["nightly"]["runs"]))
        if scope["type"] == "websocket":
            self.seen.append(("websocket", self.clients.report()))
            return
        self.seen.append((scope["path"], await body_of(receive)))
        await answer(send, 201, self.reply)

    async def begin(self):
        """Bring both starts online."""
        await self.scene.book.load()
        for boot in ("b1", "b2"):
            await self.scene.book.come_online("nightly", online(boot))
        return self

    async def call(self, path, body=None, *, method="POST", **headers):
        """Send a request."""
        client = Client(sends=chunks(json.dumps(body).encode()))
        return await client.call(self.layer, http(method, path, **AUTH, **headers))


@pytest.fixture
def scene(monkeypatch):
    async def nothing(*_, **__):
        return 0

    monkeypatch.setattr(flow_server_book, "settle_runs", nothing)
    monkeypatch.setattr(flow_server_book, "skip_missed", nothing)
    return Scene()


def play(scene, act, **options):
    async def whole():
        world = await World(scene, **options).begin()
        return world, await act(world)

    return asyncio.run(whole())


def test_a_server_without_flow_servers_reads_nothing_for_its_requests(scene):
    nothing = [lambda _: None, lambda _: None, lambda: None]
    layer = FlowServerLayer(scene.book, LOGIN, *nothing, Clients()).layer

    async def app(_, __, send):
        await answer(send, 200)

    client = asyncio.run(Client().call(layer(app), http("POST", POLL, **AUTH)))

    assert client.statuses == [200]
    assert scene.records.loads == 0


def test_a_request_while_the_database_is_away_is_sent_again_by_its_client(scene, monkeypatch):
    async def fail():
        raise OSError("the database is away")

    async def act(world):
        monkeypatch.setattr(scene.book, "load", fail)
        return await world.call(SET_STATE, {}, **NEW)

    world, client = play(scene, act)

    assert (client.statuses, world.seen) == ([503], [])


@pytest.mark.parametrize("path", [POLL, SET_STATE, "/api/logs/"])
def test_a_replaced_start_is_refused_everything(scene, path):
    world, client = play(scene, lambda world: world.call(path, {}, **OLD))

    assert client.statuses == [409]
    assert "Start again with a new id" in json.loads(client.body)["detail"]
    assert world.seen == []


def test_a_replaced_start_gets_no_socket(scene):
    async def act(world):
        scope = {**http(**OLD), "type": "websocket"}
        return await Client(sends=[{"type": "websocket.connect"}]).call(world.layer, scope)

    world, client = play(scene, act)

    assert [message["type"] for message in client.got] == ["websocket.close"]
    assert world.seen == []


def test_the_header_alone_changes_nothing_without_the_login(scene):
    async def act(world):
        body = chunks(json.dumps({"deployment_ids": [DEPLOYMENT]}).encode())
        return await Client(sends=body).call(world.layer, http("POST", POLL, **NEW))

    world, client = play(scene, act)

    assert client.statuses == [201]  # Prefect itself answers 401
    assert scene.book.servers["nightly"].deployments == ()
    assert len(world.seen) == 1


def test_a_flow_server_that_is_not_known_passes(scene):
    world, client = play(
        scene, lambda world: world.call(POLL, {}, x_roost_flow_server="another/b1")
    )

    assert (client.statuses, len(world.seen)) == ([201], 1)


def test_polls_tell_what_a_flow_server_works_for(scene):
    async def act(world):
        bodies = {"deployment_ids": [DEPLOYMENT, "no id", 7]}
        await world.call(POLL, bodies, **NEW)
        await world.call(POOL_POLL, {"limit": 1}, **NEW)

    world, _ = play(scene, act)

    record = scene.book.servers["nightly"]
    assert (record.deployments, record.pools) == ((DEPLOYMENT,), ("pool",))
    assert json.loads(world.seen[0][1])["deployment_ids"] == [DEPLOYMENT, "no id", 7]
    assert world.clients.report()["polls_last_minute"] == 0


@pytest.mark.parametrize("body", [None, [], {"deployment_ids": "x"}, {"deployment_ids": None}])
def test_a_poll_that_makes_no_sense_is_for_prefect_to_answer(scene, body):
    world, client = play(scene, lambda world: world.call(POLL, body, **NEW))

    assert client.statuses == [201]
    assert json.loads(world.seen[0][1]) == body


@pytest.mark.parametrize("path", [POLL, POOL_POLL])
def test_a_draining_flow_server_gets_no_work(scene, path):
    async def act(world):
        await scene.book.drain("nightly", draining=True)
        return await world.call(path, {}, **NEW)

    world, client = play(scene, act)

    assert (client.statuses, json.loads(client.body), world.seen) == ([200], [], [])


@pytest.mark.parametrize("kind", ["PENDING", "RUNNING"])
def test_a_run_is_recorded_before_prefect_sees_the_request(scene, kind):
    world, client = play(
        scene, lambda world: world.call(SET_STATE, {"state": {"type": kind}}, **NEW)
    )

    assert client.statuses == [201]
    assert world.claims == [{RUN: "b2"}]
    assert scene.book.servers["nightly"].runs == {RUN: "b2"}
    assert scene.book.claiming == set()


@pytest.mark.parametrize(
    ("reply", "claims"),
    [
        (b'{"status": "ACCEPT"}', {"nightly": {}, "weekly": {RUN: "w1"}}),
        # It may have been written, or not: both may execute it, and neither claim is dropped.
        (b"{", {"nightly": {RUN: "b2"}, "weekly": {RUN: "w1"}}),
        (b'{"status": "REJECT"}', {"nightly": {RUN: "b2"}, "weekly": {}}),
    ],
)
def test_a_run_that_prefect_gives_to_another_leaves_the_former_one(scene, reply, claims):
    """Two flow servers serve one pool, and the run's process died on the first one."""

    async def act(world):
        await scene.book.come_online("weekly", online("w1"))
        await scene.book.claim(Caller("nightly", "b2"), RUN)
        body = {"state": {"type": "PENDING"}}
        await world.call(SET_STATE, body, x_roost_flow_server="weekly/w1")

    play(scene, act, reply=reply)

    assert {name: scene.book.servers[name].runs for name in claims} == claims


@pytest.mark.parametrize("kind", ["COMPLETED", "SCHEDULED", None, ["x"]])
def test_other_states_record_nothing(scene, kind):
    play(scene, lambda world: world.call(SET_STATE, {"state": {"type": kind}}, **NEW))

    assert scene.book.servers["nightly"].runs == {}


@pytest.mark.parametrize("reply", [b'{"status": "ABORT"}', b'{"status": "REJECT"}'])
def test_a_run_that_prefect_refuses_is_not_recorded(scene, reply):
    play(
        scene,
        lambda world: world.call(SET_STATE, {"state": {"type": "PENDING"}}, **NEW),
        reply=reply,
    )

    assert scene.book.servers["nightly"].runs == {}


def test_a_run_that_cannot_be_recorded_does_not_begin(scene, capsys):
    async def act(world):
        scene.records.fails = True
        return await world.call(SET_STATE, {"state": {"type": "PENDING"}}, **NEW)

    world, client = play(scene, act)

    assert (client.statuses, world.seen) == ([503], [])
    assert "a record of a flow server was not written: OSError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "method", "nudges", "wanted"),
    [
        ("/api/deployments/x/create_flow_run", "POST", 1, 1),
        ("/api/flow_runs/x/resume", "POST", 1, 1),
        ("/api/flow_runs/", "POST", 1, 0),
        ("/api/flow_runs/filter", "POST", 0, 0),
        ("/api/flow_runs/x", "GET", 0, 0),
    ],
)
def test_a_run_that_may_be_new_is_looked_at_now(scene, path, method, nudges, wanted):
    world, _ = play(scene, lambda world: world.call(path, {}, method=method))

    assert (world.nudges, world.wanted) == (nudges, wanted)


@pytest.mark.parametrize(
    ("body", "is_expected"),
    [
        ({}, True),
        ({"state": {"type": "SCHEDULED"}}, True),
        ({"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": None}}}, True),
        ({"state": {"state_details": {"scheduled_time": "1970-01-12T13:46:44Z"}}}, True),
        ({"state": {"state_details": {"scheduled_time": "1970-01-12T13:46:46Z"}}}, False),
        ({"state": {"state_details": {"scheduled_time": "1970-01-12T13:46:40"}}}, False),
        ({"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": 7}}}, False),
        ({"state": {"type": "PENDING"}}, False),
        (None, False),
        ("x", False),
    ],
)
def test_a_run_that_is_being_created_is_expected_if_it_is_due_now(scene, body, is_expected):
    path = f"/api/deployments/{DEPLOYMENT}/create_flow_run"
    world, _ = play(scene, lambda world: world.call(path, body))

    assert world.expected == ([DEPLOYMENT] if is_expected else [])
    assert world.seen == [(path, json.dumps(body).encode())]


def test_a_run_that_a_stranger_asks_for_is_not_expected(scene):
    async def act(world):
        path = f"/api/deployments/{DEPLOYMENT}/create_flow_run"
        await Client(sends=chunks(b"{}")).call(world.layer, http("POST", path))

    world, _ = play(scene, act)

    assert (world.expected, len(world.seen)) == ([], 1)


def test_what_a_flow_server_starts_is_no_reason_to_wake_one_that_was_given_up(scene):
    path = "/api/deployments/x/create_flow_run"
    world, _ = play(scene, lambda world: world.call(path, {}, **NEW))

    assert (world.nudges, world.wanted) == (1, 0)


@pytest.mark.parametrize(
    ("path", "method", "headers", "tries"),
    [
        (f"/api/deployments/{DEPLOYMENT}", "PATCH", {}, 1),
        ("/api/work_pools/pool", "PATCH", {}, 1),
        ("/api/work_pools/pool/queues/default", "PATCH", {}, 1),
        ("/api/v2/concurrency_limits/x", "DELETE", {}, 1),
        (SET_STATE, "POST", {}, 1),
        (SET_STATE, "POST", NEW, 0),
        (f"/api/deployments/{DEPLOYMENT}", "GET", {}, 0),
        ("/api/deployments/filter", "POST", {}, 0),
        ("/api/flow_runs/x", "PATCH", {}, 0),
    ],
)
def test_a_change_of_what_may_hold_a_run_lets_it_be_waited_for_again(
    scene, path, method, headers, tries
):
    world, _ = play(scene, lambda world: world.call(path, {}, method=method, **headers))

    assert world.tries == tries


def test_a_stranger_makes_nobody_look(scene):
    async def act(world):
        await Client().call(world.layer, http("POST", "/api/flow_runs/"))

    world, _ = play(scene, act)

    assert (len(world.seen), world.nudges) == (1, 0)


def test_the_queues_of_a_pool_that_a_worker_polls_are_learned(scene):
    async def act(world):
        await world.call(POOL_POLL, {"work_queue_names": ["urgent", 7]}, **NEW)
        queues = dict(scene.book.servers["nightly"].queues)
        await world.call(POOL_POLL, {"work_queue_names": []}, **NEW)
        return queues, dict(scene.book.servers["nightly"].queues)

    _, queues = play(scene, act)

    assert queues == ({"pool": ("urgent",)}, {})


def test_a_socket_that_comes_before_the_records_were_read_is_a_flow_server_s_too(scene):
    async def act(world):
        scene.restart()
        layer = FlowServerLayer(
            scene.book, LOGIN, world.expected.append, world.nudge, world.try_again, world.clients
        ).layer(world.app)
        await Client().call(layer, {**http(**NEW), "type": "websocket"})
        return world.seen[-1][1]["flow_server_sockets"]

    assert play(scene, act)[1] == 1


def test_who_else_is_connected_is_counted_apart(scene):
    async def act(world):
        for headers in ({}, NEW):
            scope = {**http(**headers), "type": "websocket"}
            await Client().call(world.layer, scope)
        await world.call(POLL, {})
        world.time = 30.0
        await world.call(POOL_POLL, {})
        both = world.clients.report()["polls_last_minute"]
        world.time = 61.0
        return both, world.clients.report()

    world, (both, report) = play(scene, act)

    counts = [(seen["sockets"], seen["flow_server_sockets"]) for _, seen in world.seen[:2]]
    assert counts == [(1, 0), (0, 1)]
    assert both == 2
    assert report == {"sockets": 0, "polls_last_minute": 1, "flow_server_sockets": 0}
