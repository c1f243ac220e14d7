"""What is kept for how long becomes Prefect's settings, and a plan says what it has deleted."""

from __future__ import annotations

import pytest

from helpers.environments import POSTGRES, environment_file
from helpers.pretend_fly import applied
from roost.environment.disk import EVENTS_SETTING as EVENTS
from roost.environment.disk import FLOW_RUNS_SETTING as FLOW_RUNS
from roost.environment.disk import VACUUM_SETTING as VACUUM
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.machine_config import environment_variables
from roost.plan.retention import deletes_more
from roost.plan.steps import Risk

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
NEWER = "registry.fly.io/acme-prefect:prefect-3.9.1-ba9876543210"
DAY = 24 * 3600
ON = {VACUUM: "events,flow_runs"}


def kept(**retention):
    return {"database": {"backend": "sqlite", "retention": retention}}


def desired_of(*parts, image=IMAGE, **fields):
    return desired_state(environment_file(*parts, **fields), image)


def plan_of(before, after):
    return diff(after, applied(before))


def test_prefect_s_own_ways_need_no_setting():
    variables = environment_variables(environment_file(kept(events="7d")).environment)

    assert not {EVENTS, VACUUM, FLOW_RUNS} & set(variables)


def test_what_differs_from_them_is_set_in_seconds():
    variables = environment_variables(
        environment_file(kept(events="2d", flow_runs="30d")).environment
    )

    assert {name: variables.get(name) for name in (EVENTS, VACUUM, FLOW_RUNS)} == {
        EVENTS: str(2 * DAY),
        VACUUM: "events,flow_runs",
        FLOW_RUNS: str(30 * DAY),
    }


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ({}, {}, False),
        ({}, {**ON, FLOW_RUNS: "60"}, True),
        ({**ON, FLOW_RUNS: "60"}, {**ON, FLOW_RUNS: "59"}, True),
        ({**ON, FLOW_RUNS: "60"}, {**ON, FLOW_RUNS: "61"}, False),
        ({**ON, FLOW_RUNS: "60"}, {}, False),
        (ON, {**ON, FLOW_RUNS: str(90 * DAY)}, False),
        (ON, {**ON, FLOW_RUNS: str(89 * DAY)}, True),
        ({VACUUM: "true"}, {**ON, FLOW_RUNS: str(90 * DAY)}, False),
        ({VACUUM: '["flow_runs"]'}, {**ON, FLOW_RUNS: str(90 * DAY)}, False),
        ({VACUUM: "false"}, {**ON, FLOW_RUNS: str(90 * DAY)}, True),
        ({}, {EVENTS: str(7 * DAY)}, False),
        ({}, {EVENTS: str(6 * DAY)}, True),
        ({EVENTS: str(30 * DAY)}, {}, True),
        ({EVENTS: "P3D"}, {EVENTS: str(6 * DAY)}, True),  # not read: counts as for ever
    ],
)
def test_only_what_was_kept_until_now_counts_as_deleted(before, after, more):
    assert deletes_more(before, after) is more


def test_a_plan_that_has_more_deleted_says_so_and_takes_a_snapshot_first():
    plan = plan_of(desired_of(), desired_of(kept(flow_runs="90d")))

    assert plan.risk is Risk.DATA  # an apply takes a snapshot from MIGRATION on
    [told] = plan.warnings
    assert "Prefect deletes flow runs 90 days after they ended, with their task runs" in told
    assert "A snapshot is taken first" in told
    assert "`database.retention.flow_runs: keep`" in told


def test_a_sleeping_server_is_no_reason_to_leave_the_risk_out():
    desired = desired_of(kept(flow_runs="90d"))
    live = applied(desired_of())
    asleep = live.machines[0].model_copy(update={"state": "suspended"})

    assert diff(desired, live.__class__(**{**vars(live), "machines": (asleep,)})).risk is Risk.DATA


def test_a_longer_time_puts_nothing_at_risk():
    plan = plan_of(desired_of(kept(flow_runs="60d")), desired_of(kept(flow_runs="90d")))

    assert plan.risk is Risk.RESTART


def test_shorter_events_are_told_of():
    plan = plan_of(desired_of(), desired_of(kept(events="2d")))

    assert plan.risk is Risk.DATA
    assert plan.warnings == ("Prefect deletes events after 2 days.",)


def test_a_new_server_has_nothing_to_delete():
    plan = plan_of(desired_of(kept(flow_runs="90d")), desired_of(kept(flow_runs="90d")))

    assert plan.steps == ()
    assert plan.warnings == ()


def test_on_postgres_a_backup_is_the_user_s_to_make():
    after = {"database": {**POSTGRES["database"], "retention": {"flow_runs": "90d"}}}

    plan = plan_of(desired_of(POSTGRES), desired_of(POSTGRES, after))

    [told] = plan.warnings
    assert "Roost takes no snapshot of a Postgres database: make a backup of it first." in told


def test_an_upgrade_that_has_more_deleted_is_still_told_as_an_upgrade():
    after = {"database": {**POSTGRES["database"], "retention": {"flow_runs": "90d"}}}
    newer = {"prefect": {"version": "3.9.1"}}

    plan = plan_of(desired_of(POSTGRES), desired_of(POSTGRES, after, newer, image=NEWER))

    assert plan.risk is Risk.MIGRATION
    assert [told.split(" ", 2)[:2] for told in plan.warnings] == [
        ["Prefect", "3.9.1"],
        ["Prefect", "deletes"],
    ]
