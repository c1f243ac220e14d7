"""Asking Fly for a suspend over the machine's own socket, after a checkpoint of the database."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing

import pytest

from helpers.waiting import LIMIT_S
from roost_machine import sleep_request
from roost_machine.sleep_request import FlyReply, ask
from roost_server.idle_suspend import Activity, suspend_or_stop, watch

ASKED = {action: ("POST", f"/v1/apps/acme/machines/m1/{action}") for action in ("suspend", "stop")}


@pytest.mark.parametrize("action", ["suspend", "stop"])
@pytest.mark.parametrize("status", [200, 202])
def test_fly_agrees_to_what_it_was_asked_for(machine_api, says, capsys, action, status):
    machine_api.answers = [says(status)]

    assert ask(action, machine_api.environ) is FlyReply.AGREED

    assert machine_api.asked == [ASKED[action]]
    assert capsys.readouterr().out == (f"roost: idle; asked Fly to {action} this machine: agreed\n")


@pytest.mark.parametrize("status", [400, 404, 412, 500, 503])
def test_a_refusal_is_told_with_its_status(machine_api, says, capsys, status):
    machine_api.answers = [says(status)]

    assert ask("suspend", machine_api.environ) is FlyReply.REFUSED

    assert capsys.readouterr().out == (
        f"roost: idle; asked Fly to suspend this machine: refused with status {status}\n"
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(b"", "RemoteDisconnected", id="hangs up"),
        pytest.param(b"what?\r\n\r\n", "BadStatusLine", id="speaks otherwise"),
        pytest.param(None, "TimeoutError", id="says nothing"),
    ],
)
def test_an_answer_that_is_none_leaves_open_what_happened(
    machine_api, capsys, monkeypatch, answer, told
):
    machine_api.answers = [answer]
    monkeypatch.setattr(sleep_request, "ASK_LIMIT_S", 0.1)

    assert ask("suspend", machine_api.environ) is FlyReply.LOST

    out = capsys.readouterr().out
    assert out.startswith(
        "roost: idle; asked Fly to suspend this machine, and the reply was lost: "
    )
    assert told in out


def test_a_machine_without_the_socket_cannot_ask(tmp_path, capsys):
    assert FlyReply.REFUSED is ask("stop", {"FLY_API_SOCKET": str(tmp_path / "none.sock")})

    assert "cannot ask Fly to stop this machine: FileNotFoundError" in capsys.readouterr().out


@pytest.fixture
def home(tmp_path, make_database):
    """A server's home with its database in use; its writes stay in the log."""
    database = make_database(tmp_path / "home" / "prefect.db", note="old")
    with closing(sqlite3.connect(database, isolation_level=None)) as server:
        server.execute("PRAGMA journal_mode = WAL")
        server.execute("PRAGMA wal_autocheckpoint = 0")
        server.execute("INSERT INTO note VALUES ('new')")
        yield database.parent


@pytest.fixture
def safe_when_asked(machine_api, home, tmp_path, read_notes):
    """What of the database would survive without its log, at each request to Fly."""
    seen = []

    def look():
        seen.append(read_notes(shutil.copy(home / "prefect.db", tmp_path / f"{len(seen)}.db")))

    machine_api.when_asked = look
    return seen


def test_the_database_comes_to_rest_before_fly_is_asked(machine_api, home, safe_when_asked):
    environ = machine_api.environ | {"PREFECT_HOME": str(home)}

    assert asyncio.run(suspend_or_stop(("suspend", "stop"), environ, lambda: True))

    assert machine_api.asked == [ASKED["suspend"]]
    assert safe_when_asked == [["old", "new"]]


def test_a_database_that_is_elsewhere_is_not_ours_to_touch(machine_api, home, safe_when_asked):
    environ = machine_api.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://h/db",
    }

    assert asyncio.run(suspend_or_stop(("stop",), environ, lambda: True))

    assert safe_when_asked == [["old"]]


def test_what_fly_refuses_is_followed_by_what_else_there_is(machine_api, says, home):
    machine_api.answers = [says(412), says(200)]
    environ = machine_api.environ | {"PREFECT_HOME": str(home)}

    assert asyncio.run(suspend_or_stop(("suspend", "stop"), environ, lambda: True))

    assert machine_api.asked == [ASKED["suspend"], ASKED["stop"]]


def test_whose_answer_was_lost_is_not_asked_for_anything_else(machine_api, home):
    machine_api.answers = [b""]
    environ = machine_api.environ | {"PREFECT_HOME": str(home)}

    assert asyncio.run(suspend_or_stop(("suspend", "stop"), environ, lambda: True))

    assert machine_api.asked == [ASKED["suspend"]]


def test_who_came_while_the_database_came_to_rest_is_not_put_to_sleep(machine_api, home):
    environ = machine_api.environ | {"PREFECT_HOME": str(home)}

    assert not asyncio.run(suspend_or_stop(("suspend", "stop"), environ, lambda: False))

    assert machine_api.asked == []


def test_a_quiet_server_is_asleep_soon(machine_api, home, safe_when_asked):
    async def until_asked():
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        look = machine_api.when_asked
        machine_api.when_asked = lambda: (look(), loop.call_soon_threadsafe(asked.set))
        environ = machine_api.environ | {
            "PREFECT_HOME": str(home),
            "ROOST_IDLE_ACTION": "suspend",
            "ROOST_IDLE_AFTER_S": "0.05",
        }
        watching = asyncio.create_task(watch(Activity(), environ))
        await asyncio.wait_for(asked.wait(), LIMIT_S)
        watching.cancel()

    asyncio.run(until_asked())

    assert machine_api.asked[0] == ASKED["suspend"]
    assert safe_when_asked[0] == ["old", "new"]


def test_the_copy_of_the_database_is_complete_before_fly_is_asked(machine_api, home):
    seen = []

    async def until_asked():
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        machine_api.when_asked = lambda: (
            seen.append("asked"),
            loop.call_soon_threadsafe(asked.set),
        )
        environ = machine_api.environ | {
            "PREFECT_HOME": str(home),
            "ROOST_IDLE_ACTION": "stop",
            "ROOST_IDLE_AFTER_S": "0.05",
        }
        flush = lambda: seen.append("flushed")  # noqa: E731 - a word
        watching = asyncio.create_task(watch(Activity(), environ, flush))
        await asyncio.wait_for(asked.wait(), LIMIT_S)
        watching.cancel()

    asyncio.run(until_asked())

    assert seen[:2] == ["flushed", "asked"]
