"""What status, wake and up say of a server that is up and not good."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from helpers.fake_prefect import say
from roost.errors import SmokeFailedError
from roost.fly.models import Machine
from roost.operations.context import Context
from roost.operations.server_state import exit_notes, last_exit
from roost.operations.sleep_wake import time_wake

READY = ("GET", "/api/ready")
OOM = {"exit_code": 137, "signal": 9, "oom_killed": True, "requested_stop": False}
CRASH = {"exit_code": 3, "oom_killed": False, "requested_stop": False}
ASKED = {"exit_code": 0, "oom_killed": False, "requested_stop": True}


@pytest.fixture
def applied(roost, fly):
    roost("apply", "staging")
    [machine] = fly.machines.values()
    return machine


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("roost.operations.sleep_wake.READY_LIMIT_S", 0)


def end(machine, ending, key="e9"):
    event = {"id": key, "type": "exit", "status": "stopped", "timestamp": 1_790_000_000_000}
    machine["events"] = [{**event, "request": {"exit_event": ending}}, *machine["events"]]


@pytest.mark.usefixtures("applied")
def test_status_of_a_good_server_says_that_it_is_ready_and_its_release_good(roost):
    said = roost("status", "staging")

    assert said.code == 0
    assert "Ready: the server and its database answer. Release 1: good." in said.out


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("verb", ["status", "wake"])
def test_a_server_whose_database_is_gone_is_not_ready_though_it_is_healthy(roost, prefect, verb):
    prefect.broken = {READY: say(503)}

    said = roost(verb, "staging")

    assert said.code == 1
    assert "/api/ready: 503. Its database does not answer." in " ".join(
        (said.out + said.err).split()
    )


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("verb", ["status", "wake"])
def test_a_server_whose_volume_is_full_is_told_so_with_what_helps(roost, prefect, verb):
    prefect.broken = {READY: say(507)}

    said = roost(verb, "staging")

    assert said.code == 1
    told = " ".join((said.out + said.err).split())
    assert "/api/ready: 507. " in told
    assert "Its volume is full, and every write is refused. Raise database.volume_gb" in told


@pytest.mark.anyio
async def test_up_takes_only_a_ready_server_for_a_healthy_one(prefect, clients):
    prefect.broken = {READY: say(503)}
    quiet = Console(file=io.StringIO())
    context = Context({}, Path("/nowhere"), quiet, quiet, clients.made)

    with pytest.raises(SmokeFailedError, match="is up, and not ready: /api/ready: 503"):
        await time_wake(context, "http://127.0.0.1:2")


def test_status_as_json_has_readiness_release_and_last_exit(roost, prefect, applied):
    end(applied, OOM)
    prefect.broken = {READY: say(503)}

    said = roost("status", "staging", "--json")
    document = json.loads(said.out)

    assert (said.code, document["ready"]) == (1, False)
    assert document["release"] == {"number": 1, "verdict": "good"}
    assert document["machines"][0]["last_exit"].startswith("out of memory, 2026-")


def test_a_machine_that_crashes_again_and_again_is_told_though_it_is_started(
    roost, prefect, applied
):
    end(applied, CRASH, "e8")
    end(applied, CRASH)
    prefect.broken = {READY: httpx.ConnectError("refused")}

    said = roost("status", "staging")

    assert said.code == 1
    assert applied["state"] == "started"
    assert "Not ready: /api/ready: ConnectError. It does not serve. Look at its log." in said.out
    assert f"The machine {applied['id']} exited with code 3 instead of serving." in said.out
    assert "2 of its last events are failures." in said.out


def test_an_out_of_memory_kill_is_told_of_a_server_that_came_back(roost, applied):
    end(applied, OOM)

    for verb in ("status", "wake"):
        said = roost(verb, "staging")
        assert said.code == 0
        assert "was killed because its memory was full" in said.out + said.err


def test_a_machine_that_fell_and_stays_down_is_not_taken_for_one_that_sleeps(
    roost, prefect, applied
):
    applied["state"] = "stopped"
    end(applied, CRASH)
    prefect.asked.clear()

    said = roost("status", "staging")

    assert said.code == 1
    assert "Not ready: no machine runs, and one failed." in said.out
    assert prefect.asked == []


def test_a_sleeping_server_is_not_woken_to_be_asked(roost, prefect, applied):
    applied["state"] = "suspended"
    end(applied, ASKED)
    prefect.asked.clear()

    said = roost("status", "staging")

    assert said.code == 0
    assert "Not asked: it sleeps; a request wakes it." in said.out
    assert prefect.asked == []


@pytest.mark.parametrize(("state", "code"), [("starting", 0), ("suspending", 0), ("failed", 1)])
def test_a_machine_on_its_way_is_no_failure_and_one_that_failed_is(roost, applied, state, code):
    applied["state"] = state

    said = roost("status", "staging")

    assert said.code == code
    assert f"no machine runs ({state})" in said.out


@pytest.mark.parametrize("ending", [{}, {"exit_code": "x"}, {"signal": None}], ids=str)
def test_an_exit_that_says_nothing_is_shown_as_such(ending):
    events = [{"type": "exit", "timestamp": 2**53, "request": {"exit_event": ending}}]
    machine = Machine.model_validate({"id": "m1", "events": events})

    assert last_exit(machine) == "code ?"
    assert list(exit_notes([machine])) == []
