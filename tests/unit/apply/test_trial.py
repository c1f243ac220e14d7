"""The address of a database is tried on a machine of its own, and the server goes on meanwhile."""

from __future__ import annotations

import copy
from itertools import count

import pytest

from helpers.applying import applied_fly, desired_of, plan_and_apply
from helpers.environments import POSTGRES
from helpers.fake_fly import FakeFly
from helpers.fly_trouble import (
    TroubledFly,
    is_followed_by_a_kill,
    loses_the_answer,
    refuses,
)
from roost.apply import trial
from roost.environment.model import AUTH_SECRET
from roost.errors import DatabaseTrialError, ExitCode
from roost.fly import leases
from roost.plan.trial import SECRET_PREFIX
from roost.secret_text import SecretText

DESIRED = desired_of(POSTGRES)
URL = "postgres://u:hunter2@db.example/prefect?sslrootcert=DATABASE_CA"
NEW = {AUTH_SECRET: SecretText("a:b"), "DATABASE_URL": SecretText(URL)}


@pytest.fixture(autouse=True)
def waiting_takes_no_time(monkeypatch):
    monkeypatch.setattr(leases, "POLL_S", 0)
    monkeypatch.setattr(trial, "POLL_S", 0)


def served():
    """A server that runs with the values of before."""
    fly = applied_fly(DESIRED, "started")
    fly.trials.clear()
    return fly


def test_a_first_machine_is_made_when_its_database_was_tried():
    fly = FakeFly()

    run = plan_and_apply(fly, DESIRED, values=NEW)

    [seen] = fly.trials
    assert run.error is None
    assert seen == {f"{SECRET_PREFIX}DATABASE_URL": URL}
    assert [machine["name"] for machine in fly.machines.values()] == ["app-1"]
    assert set(fly.secrets) == {AUTH_SECRET, "DATABASE_URL"}


def test_the_plan_says_that_it_is_tried_and_where():
    run = plan_and_apply(FakeFly(), DESIRED, values=NEW)

    [step] = [step for step in run.plan.steps if step.kind == "set-secrets"]
    assert step.summary.endswith(
        ", after its database address DATABASE_URL was tested on a temporary machine"
    )


def test_a_database_that_cannot_be_used_leaves_the_server_as_it_was():
    fly = served()
    before = copy.deepcopy(fly.picture())
    fly.trial_ending = {"exit_code": 21}

    run = plan_and_apply(fly, DESIRED, values=NEW)

    assert isinstance(run.error, DatabaseTrialError)
    assert run.error.exit_code is ExitCode.BAD_INPUT
    assert "DATABASE_URL was tested on a temporary machine: the database refuses the user" in str(
        run.error
    )
    assert "hunter2" not in str(run.error)
    assert fly.picture() == before


def test_while_it_is_tried_a_server_that_boots_has_the_address_of_before():
    fly = served()

    plan_and_apply(fly, DESIRED, values=NEW)

    [seen] = fly.trials
    assert seen["DATABASE_URL"] != URL
    assert seen[f"{SECRET_PREFIX}DATABASE_URL"] == URL


def test_the_machine_that_tries_serves_nobody_and_runs_once():
    fly = served()

    plan_and_apply(fly, DESIRED, values=NEW)

    [sent] = [ask.body for ask in fly.asked if ask.verb == "POST" and ask.path[-1] == "machines"]
    config = sent["config"]
    assert config["init"] == {"cmd": ["python", "server.py", "try-database"]}
    assert config["restart"] == {"policy": "no"}
    assert "services" not in config
    assert "mounts" not in config
    assert "hunter2" not in str(sent)


def test_a_certificate_that_is_set_with_the_address_is_tried_with_it():
    desired = desired_of(POSTGRES, secrets=[AUTH_SECRET, "DATABASE_URL", "DATABASE_CA"])
    fly = FakeFly()

    plan_and_apply(fly, desired, values={**NEW, "DATABASE_CA": SecretText("a certificate")})

    [seen] = fly.trials
    assert seen == {
        f"{SECRET_PREFIX}DATABASE_URL": URL,
        f"{SECRET_PREFIX}DATABASE_CA": "a certificate",
    }


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ({"exit_code": 1}, "exited with code 1; its log says why"),
        ({"exit_code": 137, "oom_killed": True}, "was killed because its memory was full"),
        ({"exit_code": 137, "signal": 9}, "was ended by signal 9"),
    ],
)
def test_a_trial_that_dies_proves_nothing(ending, said):
    fly = served()
    fly.trial_ending = ending

    assert said in str(plan_and_apply(fly, DESIRED, values=NEW).error)


def test_what_is_not_ours_to_try_is_not_tried():
    fly = FakeFly()
    image = "docker.io/prefecthq/prefect:3.8.8"

    run = plan_and_apply(fly, desired_of(POSTGRES, image=image), values=NEW)

    assert run.error is None
    assert fly.trials == []


def test_another_secret_is_no_reason_to_try_it():
    fly = FakeFly()
    plan_and_apply(fly, DESIRED, values=NEW)

    plan_and_apply(fly, DESIRED, values={**NEW, AUTH_SECRET: SecretText("other:login")})

    assert len(fly.trials) == 1


@pytest.mark.parametrize(
    "trouble", [loses_the_answer, refuses, is_followed_by_a_kill], ids=lambda it: it.__name__
)
def test_whatever_call_is_the_last_one_the_next_apply_leaves_nothing_of_a_trial(trouble):
    before = served()
    for call in count(1):
        fly = copy.deepcopy(before)
        troubled = TroubledFly(fly, trouble, call)
        plan_and_apply(fly, DESIRED, troubled, values=NEW)
        fly.leave_leases()
        again = plan_and_apply(fly, DESIRED, values=NEW)

        assert again.error is None, (call, again.error)
        assert [machine["name"] for machine in fly.machines.values()] == ["app-1"]
        assert set(fly.secrets) == {AUTH_SECRET, "DATABASE_URL"}
        assert fly.secrets["DATABASE_URL"] == URL
        assert fly.boots[next(iter(fly.machines))].secrets == fly.secrets
        assert plan_and_apply(fly, DESIRED, values=NEW).kinds == []
        if not troubled.happened:
            break


def test_a_machine_of_a_trial_is_no_part_of_a_plan():
    fly = FakeFly()
    plan_and_apply(fly, DESIRED, values=NEW)
    machine = copy.deepcopy(next(iter(fly.machines.values())))
    machine |= {"id": "m9", "name": "try-1", "state": "stopped"}
    machine["config"]["metadata"] = {"roost_trial": "staging"}
    fly.machines["m9"] = machine
    fly.secrets[f"{SECRET_PREFIX}DATABASE_URL"] = URL

    run = plan_and_apply(fly, DESIRED, values=NEW)

    assert run.kinds == []
    assert run.plan.warnings == ()
    assert "m9" not in fly.machines
    assert set(fly.secrets) == {AUTH_SECRET, "DATABASE_URL"}
