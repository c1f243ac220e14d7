"""A server's data moves from its volume to PostgreSQL, and a killed or failed move loses nothing."""

from __future__ import annotations

import copy
from itertools import count

import pytest

from helpers.applying import applied_fly, desired_of, plan_and_apply
from helpers.environments import POSTGRES
from helpers.fly_trouble import (
    TroubledFly,
    is_followed_by_a_kill,
    loses_the_answer,
)
from roost.apply import copy_database, trial
from roost.errors import DatabaseMoveError
from roost.fly import leases
from roost.plan.database_move import is_copier
from roost.plan.desired import AUTOSTOPS

SQLITE, MOVED = desired_of(), desired_of(POSTGRES)


@pytest.fixture(autouse=True)
def waiting_takes_no_time(monkeypatch):
    for module in (leases, trial, copy_database):
        monkeypatch.setattr(module, "POLL_S", 0)


@pytest.fixture(params=["started", "suspended", "stopped"])
def fly(request):
    """A server on its volume, in each state that it may be in."""
    return applied_fly(SQLITE, request.param)


def config_of(fly):
    [machine] = fly.machines.values()
    return machine["config"]


def test_the_machine_copies_once_and_then_serves_from_postgres(fly):
    volume = config_of(fly)["mounts"][0]["volume"]

    run = plan_and_apply(fly, MOVED)

    assert run.error is None
    assert run.kinds == ["set-secrets", "copy-database", "update-machine"]
    [copier] = fly.copies
    assert copier["services"][0]["autostart"] is False
    assert AUTOSTOPS[copier["services"][0]["autostop"]] == "off"
    assert copier["restart"] == {"policy": "no"}
    assert copier["mounts"][0]["volume"] == volume
    config = config_of(fly)
    assert not is_copier(config)
    assert config["services"]
    assert config["mounts"][0]["volume"] == volume
    assert config["env"]["ROOST_DATABASE_URL_VARIABLE"] == "DATABASE_URL"
    assert config["env"]["ROOST_MOVED_FROM"] == "sqlite"
    assert any("1 rows copied" in notice for notice in run.notices)
    again = plan_and_apply(fly, MOVED)
    assert "update-machine" not in again.kinds
    assert "copy-database" not in again.kinds
    assert len(fly.copies) == 1


def test_a_copy_that_fails_puts_the_server_back_on_its_volume():
    fly = applied_fly(SQLITE, "started")
    before = copy.deepcopy(config_of(fly))
    fly.copy_result = {"error": "the target database is not empty: it has rows in flow (1)"}

    run = plan_and_apply(fly, MOVED)

    assert isinstance(run.error, DatabaseMoveError)
    assert "it has rows in flow (1). The server serves the database on its volume" in str(run.error)
    assert config_of(fly) == before
    [machine] = fly.machines.values()
    assert machine["state"] == "started"


def test_a_machine_that_ends_without_a_result_has_copied_nothing(monkeypatch):
    monkeypatch.setattr(copy_database, "SHOWS_WITHIN_S", 0)
    fly = applied_fly(SQLITE, "started")
    fly.copy_result = {"version": "of another config"}

    run = plan_and_apply(fly, MOVED)

    assert "ended without a result" in str(run.error)
    assert not is_copier(config_of(fly))


# A kill before a call is one after the call before it.
@pytest.mark.parametrize("trouble", [is_followed_by_a_kill, loses_the_answer])
def test_after_a_kill_or_a_lost_answer_at_any_call_the_next_apply_completes_the_move(trouble):
    for nth in count(1):
        fly = applied_fly(SQLITE, "started")
        troubled = TroubledFly(fly, trouble, nth)
        plan_and_apply(fly, MOVED, troubled)
        if not troubled.happened:
            break
        fly.leave_leases()
        plan_and_apply(fly, MOVED)
        assert plan_and_apply(fly, MOVED).error is None
        config = config_of(fly)
        assert config["env"]["ROOST_MOVED_FROM"] == "sqlite", nth
        assert not is_copier(config), nth
        assert fly.copies, nth
    assert nth > 10


def test_a_move_that_was_killed_while_it_copied_goes_back_where_the_file_does():
    fly = applied_fly(SQLITE, "started")
    before = copy.deepcopy(config_of(fly))
    for nth in count(1):
        plan_and_apply(fly, MOVED, TroubledFly(fly, is_followed_by_a_kill, nth))
        fly.leave_leases()
        if fly.copies:
            break
        fly = applied_fly(SQLITE, "started")
    assert is_copier(config_of(fly))

    assert plan_and_apply(fly, SQLITE).error is None

    config = config_of(fly)
    assert not is_copier(config)
    assert config["env"] == before["env"]
    assert config["mounts"] == before["mounts"]
