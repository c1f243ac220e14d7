"""After a migration only the gate is served, until it opens the server or the limit has passed."""

from __future__ import annotations

import asyncio

import pytest

from helpers.asgi_calls import Client, answer, http
from roost.apply.release import OPENS_AFTER_S
from roost_server.maintenance_mode import LIMIT_S, OPEN_PATH, OWNER, MaintenanceMode
from roost_server.upgrade import COPY, NOTE, Note, read_note, write_note

NOW = 1_000_000.0
CLIENT = {"fly_request_id": "01J"}
GATE = {**CLIENT, "x_roost_gate": "1"}


async def serve(_, __, send):
    """Answer any request."""
    await answer(send, 200, b"a page")


@pytest.fixture
def home(tmp_path):
    """A volume with an unproved upgrade."""
    (tmp_path / COPY).write_bytes(b"the database of before")
    write_note(tmp_path, Note("2025", NOW))
    return tmp_path


@pytest.fixture
def visit(home):
    """Sends requests to a server that started just after the upgrade began."""
    clock = [NOW + 1]
    maintenance = MaintenanceMode(home, {}, clock=lambda: clock[0])

    def call(*request, later=0.0, **headers):
        clock[0] += later
        return asyncio.run(Client().call(maintenance.layer(serve), http(*request, **headers)))

    return call


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/flows/", OPEN_PATH])
def test_a_client_is_told_to_come_again(visit, path):
    client = visit("POST", path, **CLIENT)

    assert client.statuses == [503]
    # Prefect's own then does, until the server is open; with the other one, for half a minute.
    assert dict(client.got[0]["headers"]) == {b"prefect-maintenance": b"true"}


SOCKET = {"type": "websocket", "path": "/api/events/in", "headers": []}
CONNECT = {"type": "websocket.connect"}
LEFT = {"type": "websocket.disconnect", "code": 1006}


async def accept(_, receive, send):
    """Accept a socket, as an application does, and record its messages."""
    assert await receive() == CONNECT
    await send({"type": "websocket.accept"})


def hold_socket(home, *messages, socket_s=30.0, meanwhile=lambda _: None):
    """Open a client's socket in maintenance mode; return what it received."""

    async def scenario():
        maintenance = MaintenanceMode(home, {}, clock=lambda: NOW, socket_s=socket_s)
        client = Client([CONNECT, *messages])
        asyncio.get_running_loop().call_later(0.05, meanwhile, maintenance)
        await asyncio.wait_for(client.call(maintenance.layer(accept), SOCKET), 20)
        return [message["type"] for message in client.got]

    return asyncio.run(scenario())


def test_a_socket_is_held_and_opens_with_the_server(home):
    assert hold_socket(home, meanwhile=MaintenanceMode.open) == ["websocket.accept"]


def test_a_socket_is_refused_when_it_was_held_longer_than_clients_wait(home):
    assert hold_socket(home, socket_s=0.05) == ["websocket.close"]


def test_a_socket_whose_client_left_is_not_answered(home):
    assert hold_socket(home, LEFT) == []


def test_the_gate_gets_in(visit):
    assert visit("POST", "/api/flows/", **GATE).statuses == [200]


def test_the_host_s_own_check_gets_in_or_nobody_would_be_routed_here(visit):
    assert visit("GET", "/api/health").statuses == [200]


def test_the_gate_opens_the_server_to_all_and_there_is_no_way_back(visit, home):
    assert visit("POST", OPEN_PATH, **GATE).statuses == [204]

    assert visit("POST", "/api/flows/", **CLIENT).statuses == [200]
    assert not list(home.iterdir())


def test_opening_twice_is_opening_once(visit):
    visit("POST", OPEN_PATH, **GATE)

    assert visit("POST", OPEN_PATH, **GATE).statuses == [204]


def test_a_restart_does_not_open_the_server(home):
    again = MaintenanceMode(home, {}, clock=lambda: NOW + 5)

    assert not again.is_open()
    assert read_note(home)


def test_a_server_that_nobody_proves_opens_by_itself(visit, home):
    assert visit("GET", "/", later=LIMIT_S - 2, **CLIENT).statuses == [503]
    assert visit("GET", "/", later=2, **CLIENT).statuses == [200]
    assert not (home / NOTE).exists()


def test_a_server_without_an_upgrade_is_open(tmp_path):
    assert MaintenanceMode(tmp_path, {}).is_open()


@pytest.mark.parametrize(
    ("given", "status"),
    [("", 401), ("Basic bm9ib2R5OndybmcK", 401), ("Basic YWRtaW46c2VjcmV0", 204)],
)
def test_where_there_is_a_login_only_its_owner_opens(home, given, status):
    maintenance = MaintenanceMode(home, {"PREFECT_SERVER_API_AUTH_STRING": "admin:secret"})
    headers = GATE | ({"authorization": given} if given else {})

    client = asyncio.run(
        Client().call(maintenance.layer(serve), http("POST", OPEN_PATH, **headers))
    )

    assert client.statuses == [status]
    assert bool(read_note(home)) is (status == 401)


def machine(name):
    """Return the variables that Fly sets for a machine."""
    return {"FLY_MACHINE_ID": name}


def test_a_volume_that_another_machine_wrote_last_is_closed_until_it_is_proved(tmp_path):
    assert MaintenanceMode(tmp_path, machine("old")).is_open()
    restored = MaintenanceMode(tmp_path, machine("new"))

    assert not restored.is_open()
    assert not MaintenanceMode(tmp_path, machine("new")).is_open()  # after a restart, too
    restored.open()
    assert MaintenanceMode(tmp_path, machine("new")).is_open()
    assert (tmp_path / OWNER).read_text() == "new"


def test_the_machine_that_is_put_back_finds_its_own_volume_open(tmp_path):
    MaintenanceMode(tmp_path, machine("old"))

    assert MaintenanceMode(tmp_path, machine("old")).is_open()


def test_a_restored_volume_that_nobody_proves_opens_by_itself(tmp_path):
    clock = [NOW]
    MaintenanceMode(tmp_path, machine("old"))
    restored = MaintenanceMode(tmp_path, machine("new"), clock=lambda: clock[0])

    clock[0] += LIMIT_S + 1

    assert restored.is_open()


def test_an_upgrade_on_a_restored_volume_is_closed_from_now_on_not_since_the_note(home):
    (home / OWNER).write_text("old")

    assert not MaintenanceMode(home, machine("new"), clock=lambda: NOW + 2 * LIMIT_S).is_open()


def test_what_waits_for_the_proof_is_called_once_when_it_came(home):
    called = []
    maintenance = MaintenanceMode(
        home, {}, clock=lambda: NOW, on_open=lambda: called.append("open")
    )
    before = list(called)

    for _ in range(2):
        asyncio.run(Client().call(maintenance.layer(serve), http("POST", OPEN_PATH, **GATE)))

    assert (before, called) == ([], ["open"])


def test_what_waits_for_the_proof_is_called_at_once_where_none_is_needed(tmp_path):
    called = []

    MaintenanceMode(tmp_path, {}, on_open=lambda: called.append("open"))

    assert called == ["open"]


def test_roost_knows_how_long_a_server_waits_to_be_proved():
    assert OPENS_AFTER_S == LIMIT_S
