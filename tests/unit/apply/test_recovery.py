"""Whatever goes wrong at whichever call, the next apply finishes the work, and only once."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from helpers.applying import applied_fly, desired_of, plan_and_apply
from helpers.environments import POSTGRES, PRIVATE
from helpers.fake_fly import FakeFly
from helpers.fly_trouble import TROUBLES, TroubledFly
from roost.environment.model import AUTH_SECRET
from roost.plan.override import Override, marked

LARGER = {"database": {"backend": "sqlite", "volume_gb": 3, "snapshot_retention_days": 9}}
OTHER_SETTINGS = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}
MORE_SECRETS = {"secrets": [AUTH_SECRET, "SLACK_HOOK"]}
FEWER_SECRETS = {"secrets": [AUTH_SECRET], "prune": True}
ALWAYS_ON = {"scaling": {"min_machines_running": 1}}
MIN_CALLS = 5  # that is what looking costs


def scaled(machines, **fields):
    return desired_of(POSTGRES, scaling={"count": machines}, **fields)


def overridden(*parts, hours=4):
    since = datetime(2026, 11, 24, tzinfo=UTC)
    fields = {"min_machines_running": 1}
    override = Override(fields, since + timedelta(hours=hours), "demo", "ada", since)
    return marked(desired_of(*parts), override)


# What was applied before (None: nothing), what is asked for now, and the machines' state between.
CHANGES = {
    "first apply": (None, desired_of(), ""),
    "first apply of several": (None, scaled(2), ""),
    "settings": (desired_of(), desired_of(OTHER_SETTINGS), "started"),
    "settings of a sleeper": (desired_of(), desired_of(OTHER_SETTINGS), "suspended"),
    "larger volume": (desired_of(), desired_of(LARGER), "started"),
    "larger volume of a sleeper": (desired_of(), desired_of(LARGER), "suspended"),
    "one more secret": (desired_of(), desired_of(MORE_SECRETS), "started"),
    "one secret less": (desired_of(MORE_SECRETS), desired_of(FEWER_SECRETS), "started"),
    "always on": (desired_of(), desired_of(ALWAYS_ON), "stopped"),
    "awake again": (desired_of(ALWAYS_ON), desired_of(ALWAYS_ON), "stopped"),
    "more machines": (scaled(1), scaled(3), "started"),
    "fewer machines": (scaled(3), scaled(1), "started"),
    "another region": (scaled(2), scaled(2, region="ams"), "started"),
    "private": (desired_of(), desired_of(PRIVATE), "started"),
    "override": (desired_of(), overridden(ALWAYS_ON), "suspended"),
    "longer override": (overridden(ALWAYS_ON), overridden(ALWAYS_ON, hours=8), "started"),
    "override's end": (overridden(ALWAYS_ON), desired_of(), "started"),
    "override's end without a boot": (overridden(), desired_of(), "started"),
}


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
@pytest.mark.parametrize("change", CHANGES)
def test_the_next_apply_finishes_what_trouble_at_any_call_cut_short(change, trouble):
    before, after, state = CHANGES[change]
    start = applied_fly(before, state) if before else FakeFly()
    goal = copy.deepcopy(start)
    assert plan_and_apply(goal, after).error is None

    for nth in count(1):
        fly = copy.deepcopy(start)
        troubled = TroubledFly(fly, trouble, nth)

        plan_and_apply(fly, after, troubled)
        fly.leave_leases()
        second = plan_and_apply(fly, after)
        third = plan_and_apply(fly, after)

        if not troubled.happened:
            break
        assert second.error is None, f"trouble at call {nth}"
        assert third.kinds == [], f"trouble at call {nth}"
        assert fly.picture() == goal.picture(), f"trouble at call {nth}"
    assert nth > MIN_CALLS, "the trouble met few calls, or none"
