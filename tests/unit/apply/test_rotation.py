"""Secrets that changed, were set by hand or are extra are put right, and no machine keeps old ones."""

from __future__ import annotations

import copy
from itertools import count

import pytest

from helpers.applying import applied_fly, desired_of, plan_and_apply
from helpers.environments import POSTGRES
from helpers.fly_trouble import TROUBLES, TroubledFly
from roost.environment.model import AUTH_SECRET
from roost.plan.secret_fingerprints import MARKS_KEY, read_marks
from roost.secret_text import SecretText

DESIRED = desired_of()
PRUNING = desired_of(prune=True)
TWO = desired_of(POSTGRES, scaling={"count": 2})
NEW = {AUTH_SECRET: SecretText("admin:new"), "DATABASE_URL": SecretText("postgres://new")}
MIN_CALLS = 5


def only(things):
    [thing] = things.values()
    return thing


def seen(fly):
    """Return what the machine booted with."""
    return fly.boots[only(fly.machines)["id"]].secrets


def test_a_changed_value_is_set_and_booted_with():
    fly = applied_fly(DESIRED)

    run = plan_and_apply(fly, DESIRED, values=NEW)

    assert run.kinds == ["set-secrets", "update-machine"]
    assert seen(fly) == {AUTH_SECRET: "admin:new"}
    assert plan_and_apply(fly, DESIRED, values=NEW).kinds == []


def test_a_value_set_by_hand_is_replaced_by_ours():
    fly = applied_fly(DESIRED)
    fly.secrets[AUTH_SECRET] = "by:hand"

    assert plan_and_apply(fly, DESIRED).kinds == ["set-secrets", "update-machine"]

    assert seen(fly) == fly.secrets
    assert "by:hand" not in fly.secrets.values()
    assert plan_and_apply(fly, DESIRED).kinds == []


def test_a_secret_from_before_there_were_marks_is_set_once_and_marked():
    fly = applied_fly(DESIRED)
    del only(fly.machines)["config"]["metadata"][MARKS_KEY]

    assert plan_and_apply(fly, DESIRED).kinds == ["set-secrets", "update-machine"]

    assert set(read_marks(only(fly.machines)["config"]["metadata"])) == {AUTH_SECRET}
    assert plan_and_apply(fly, DESIRED).kinds == []


def test_without_values_nothing_is_changed_and_what_was_not_checked_is_told():
    fly = applied_fly(DESIRED)

    run = plan_and_apply(fly, DESIRED, values={})

    assert (run.kinds, run.error) == ([], None)
    assert run.plan.unchecked == (AUTH_SECRET,)


def test_marks_stay_through_a_change_of_something_else():
    fly = applied_fly(DESIRED)
    before = read_marks(only(fly.machines)["config"]["metadata"])

    plan_and_apply(fly, desired_of(machine={"memory_mb": 1024}))

    assert read_marks(only(fly.machines)["config"]["metadata"]) == before


def test_a_machine_that_is_added_is_marked_like_the_others():
    fly = applied_fly(desired_of(POSTGRES))

    plan_and_apply(fly, TWO)

    one, other = (read_marks(m["config"]["metadata"]) for m in fly.machines.values())
    assert one == other
    assert plan_and_apply(fly, TWO).kinds == []


def test_what_is_set_and_what_is_removed_go_in_one_batch():
    fly = applied_fly(PRUNING)
    fly.secrets["OLD"] = "x"

    run = plan_and_apply(fly, PRUNING, values=NEW)

    assert run.kinds == ["set-secrets", "unset-secrets", "update-machine"]
    sent = [ask for ask in fly.asked if ask.verb == "POST" and ask.path[-1] == "secrets"]
    assert [ask.body for ask in sent] == [{"values": {AUTH_SECRET: "admin:new", "OLD": None}}]
    assert seen(fly) == {AUTH_SECRET: "admin:new"}


def test_a_suspended_machine_is_stopped_and_stays_asleep():
    """Resumed, it would go on with what it has in memory."""
    fly = applied_fly(DESIRED, "suspended")
    key = only(fly.machines)["id"]
    booted = copy.copy(fly.boots[key])

    plan_and_apply(fly, DESIRED, values=NEW)

    acts = [ask for ask in fly.asked if ask.verb != "GET" and ask.path[-1] != "lease"]
    assert [ask.path[2:] for ask in acts] == [
        ("secrets",),
        ("machines", key, "stop"),
        ("machines", key),
    ]
    assert acts[-1].body["skip_launch"] is True
    assert acts[-1].body["min_secrets_version"] == fly.secrets_version
    assert fly.machines[key]["state"] == "stopped"
    assert fly.boots[key] == booted, "it was not started"


def test_a_stopped_machine_is_neither_stopped_again_nor_started():
    fly = applied_fly(DESIRED, "stopped")

    plan_and_apply(fly, DESIRED, values=NEW)

    assert not [ask for ask in fly.asked if ask.path[-1] in {"stop", "start"}]
    assert only(fly.machines)["state"] == "stopped"


def hand_sets(fly):
    fly.secrets[AUTH_SECRET] = "by:hand"


def hand_adds(fly):
    fly.secrets["OLD"] = "x"


def nobody(_):
    pass


# What is asked for, the machines' state, and what somebody did by hand since the last apply.
CASES = {
    "rotated": (DESIRED, "started", nobody),
    "rotated in sleep": (DESIRED, "suspended", nobody),
    "rotated on two": (TWO, "started", nobody),
    "set by hand": (DESIRED, "started", hand_sets),
    "added by hand": (PRUNING, "started", hand_adds),
}


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
@pytest.mark.parametrize("case", CASES)
def test_the_next_apply_finishes_what_trouble_at_any_call_cut_short(case, trouble):
    desired, state, hand = CASES[case]
    start = applied_fly(desired, state)
    hand(start)
    for key in start.boots:  # it slept and woke since: it has what Fly had
        start._boot(key)
    start.settle(state)
    goal = copy.deepcopy(start)
    assert plan_and_apply(goal, desired, values=NEW).error is None

    for nth in count(1):
        fly = copy.deepcopy(start)
        troubled = TroubledFly(fly, trouble, nth)

        plan_and_apply(fly, desired, troubled, values=NEW)
        fly.leave_leases()
        second = plan_and_apply(fly, desired, values=NEW)
        third = plan_and_apply(fly, desired, values=NEW)

        if not troubled.happened:
            break
        assert second.error is None, f"trouble at call {nth}"
        assert third.kinds == [], f"trouble at call {nth}"
        assert fly.picture() == goal.picture(), f"trouble at call {nth}"
    assert nth > MIN_CALLS, "the trouble met few calls, or none"
