"""A machine that is kept from its visitors: the plan says so, brings it back, and leaves drift to people."""

from __future__ import annotations

from dataclasses import replace

from helpers.histories import History, desired_of
from roost.errors.command import bare
from roost.plan.diff import diff
from roost.plan.drift import Cause, find_drift, may_heal
from roost.plan.restore import JOURNAL_KEY, Journal

DESIRED = desired_of()


def cordoned(**metadata):
    """Return what is live once a destroy was cut short after its cordon."""
    live = History().went(DESIRED).live
    [machine] = live.machines
    config = dict(machine.config)
    config["metadata"] = {**config["metadata"], **metadata}
    fields = {"cordoned": True, "state": "stopped", "config": config}
    return replace(live, machines=(machine.model_copy(update=fields),))


def test_a_plan_brings_a_cordoned_machine_back_and_names_both_ways_out():
    plan = diff(DESIRED, cordoned())

    [step] = plan.steps
    assert (step.kind, step.key) == ("uncordon-machine", "machine/app-1/cordon")
    assert step.summary == "uncordon the machine app-1, so that requests reach it"
    [warning] = map(bare, plan.warnings)
    assert "is cordoned: it receives no requests" in warning
    assert "To finish that: roost destroy staging." in warning
    assert warning.endswith("To serve again: roost apply staging.")


def test_of_a_restore_under_way_the_plan_tells_and_not_of_its_cordon():
    journal = Journal("vs_1", 2, "2026-01-01T00:00:00Z")

    plan = diff(DESIRED, cordoned(**journal.entry()))

    assert JOURNAL_KEY in journal.entry()
    assert plan.steps == ()
    assert plan.refusals
    assert not any("cordoned" in warning for warning in plan.warnings)


def test_drift_names_it_and_heals_nothing_of_it():
    live = cordoned()

    found = find_drift(diff(DESIRED, live), DESIRED, live, None)

    assert [difference.cause for difference in found] == [Cause.CORDONED]
    assert not may_heal(found)
