"""Within a run, what a call without an answer may have made is looked for before it is told."""

from __future__ import annotations

import copy

import pytest

from helpers.applying import applied_fly, desired_of, plan_and_apply
from helpers.fake_fly import FakeFly
from helpers.fly_answers import says
from helpers.fly_trouble import TroubledFly, loses_the_answer, never_answers
from roost.environment.model import AUTH_SECRET
from roost.errors import FlyConflictError, FlyRejectedError, FlyUnavailableError, UnappliableError

ALL_CHANGES = desired_of(
    prefect={"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}},
    database={"backend": "sqlite", "volume_gb": 3, "snapshot_retention_days": 9},
    secrets=[AUTH_SECRET, "SLACK_HOOK"],
    scaling={"min_machines_running": 1},
)
# The calls of a first apply that make something, by their number.
CREATIONS = {2: "", 4: "/ip_assignments", 7: "/ip_assignments", 10: "/volumes", 13: "/machines"}


async def makes_it_and_says_it_is_taken(troubled, request):
    """What a create meets that got through the first time, unnoticed, and was sent again."""
    troubled.fly(request)
    return says(409, {"error": "already exists"})


def changed(start, desired):
    fly = copy.deepcopy(start)
    assert plan_and_apply(fly, desired).error is None
    return fly


@pytest.mark.parametrize(
    "start",
    [FakeFly(), applied_fly(desired_of(), "stopped")],
    ids=["first apply", "later apply"],
)
def test_a_lost_answer_is_made_good_but_for_that_to_a_lease(start):
    goal = changed(start, ALL_CHANGES)

    for nth in range(1, len(goal.asked) + 1):
        fly = copy.deepcopy(start)

        run = plan_and_apply(fly, ALL_CHANGES, TroubledFly(fly, loses_the_answer, nth))

        if run.error is None:
            assert fly.picture() == goal.picture(), f"answer {nth} lost"
        else:
            # Its nonce is lost with the answer: nobody can use it, and it ends by itself.
            assert run.error.where.endswith("/lease"), f"answer {nth} lost"


async def makes_two_and_says_nothing(troubled, request):
    """What a create meets whose answer is lost while somebody else makes the same."""
    troubled.fly(request)
    return await loses_the_answer(troubled, request)


def test_of_two_volumes_that_came_to_be_none_is_taken_and_none_removed_without_an_answer():
    fly = FakeFly()

    run = plan_and_apply(fly, desired_of(), TroubledFly(fly, makes_two_and_says_nothing, 10))

    assert isinstance(run.error, FlyUnavailableError)
    assert len(fly.volumes) == 2
    assert fly.machines == {}
    again = plan_and_apply(fly, desired_of())
    assert isinstance(again.error, UnappliableError)
    assert "several volumes could hold the data" in str(again.error)


@pytest.mark.parametrize("nth", CREATIONS)
def test_a_name_that_is_taken_by_our_own_lost_call_is_no_failure(nth):
    goal = changed(FakeFly(), desired_of())
    fly = FakeFly()

    run = plan_and_apply(fly, desired_of(), TroubledFly(fly, makes_it_and_says_it_is_taken, nth))

    assert run.error is None
    assert fly.picture() == goal.picture()


@pytest.mark.parametrize(("nth", "what"), CREATIONS.items())
def test_a_call_that_did_nothing_and_says_nothing_is_told_as_unknown(nth, what):
    fly = FakeFly()

    run = plan_and_apply(fly, desired_of(), TroubledFly(fly, never_answers, nth))

    assert isinstance(run.error, FlyUnavailableError)
    assert run.error.ambiguous
    assert run.error.where == f"POST /apps{what and '/acme-prefect'}{what}"
    assert "Run the same command again: it looks first." in str(run.error)


def test_an_update_that_did_nothing_and_says_nothing_gives_its_lease_back():
    fly = applied_fly(desired_of())
    before = fly.picture()
    update = desired_of(prefect={"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}})

    run = plan_and_apply(fly, update, TroubledFly(fly, never_answers, 8))

    assert isinstance(run.error, FlyUnavailableError)
    assert run.error.where == f"POST /apps/acme-prefect/machines/{next(iter(fly.machines))}"
    assert fly.picture() == before
    assert fly.leases == {}


@pytest.mark.parametrize(
    ("trouble", "error"), [(None, FlyRejectedError), (never_answers, FlyUnavailableError)]
)
def test_an_app_that_somebody_else_made_meanwhile_is_not_taken_for_ours(trouble, error):
    fly = FakeFly()

    def take_the_name():
        fly.organization = "somebody-else"

    troubled = TroubledFly(fly, trouble, 2) if trouble else None
    run = plan_and_apply(fly, desired_of(), troubled, between=take_the_name)

    assert isinstance(run.error, error)
    assert fly.ips == []


def test_a_machine_of_that_name_that_is_not_ours_is_not_taken_for_ours():
    fly = applied_fly(desired_of(scaling={"min_machines_running": 1}))
    [machine] = fly.machines.values()
    machine["config"]["metadata"] = {}
    machine["config"]["mounts"] = []
    machine["config"]["services"] = []  # one that serves is refused by the plan
    for volume in fly.volumes.values():
        volume["attached_machine_id"] = None

    run = plan_and_apply(fly, desired_of())

    assert isinstance(run.error, FlyConflictError)
    assert list(fly.machines) == [machine["id"]]
