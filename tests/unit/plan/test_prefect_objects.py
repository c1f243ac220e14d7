"""The plan of Prefect's objects: the file against the record of the last apply, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from helpers.histories import History, desired_of, level
from helpers.pretend_fly import PretendFly, applied, with_machine
from roost.environment.prefect_objects import ObjectsFile, PrefectObject
from roost.errors.command import Command
from roost.plan.approval import approve, unapproved
from roost.plan.desired import ValueCheck
from roost.plan.diff import diff, plan_from
from roost.plan.document import plan_document
from roost.plan.drift import Cause, find_drift
from roost.plan.live import Live
from roost.plan.objects_record import OBJECTS_KEY, ObjectsRecord, Written, record_on
from roost.plan.ownership import our_machines
from roost.plan.prefect_objects import unchecked_secrets, unreviewed_object_values
from roost.plan.rollback import roll_back
from roost.plan.secrets import FIELD
from roost.plan.steps import ReconcileObjects, Risk

PATH = "prefect/staging.yaml"
POOL = PrefectObject("work_pools", {"name": "etl", "type": "process", "concurrency_limit": 2})
REGION = PrefectObject("variables", {"name": "region", "value": "eu"})
OPS = PrefectObject("blocks", {"name": "ops", "type": "slack-webhook", "data": {"url": {"secret": "HOOK"}}})  # fmt: skip
SALT = "https://github.com/acme/prefect/pull/1"


def asks(*objects, **fields):
    """Return what a file asks for that names these objects."""
    desired = desired_of(**fields)
    return replace(desired, objects=ObjectsFile(PATH, objects), object_sources={"HOOK": "env HOOK"})


def step_of(plan):
    """Return the plan's only step, which must be that of the objects."""
    [step] = plan.steps
    assert isinstance(step, ReconcileObjects)
    return step


def changes(plan):
    """Return the changes of the step as (field, old, new)."""
    return [(c.field, c.old, c.new) for c in step_of(plan).changes]


def with_record(live, record):
    """Return the live state whose machine has another record."""
    [machine] = live.machines
    metadata = {**machine.metadata, OBJECTS_KEY: record.encoded()}
    return with_machine(live, config={**machine.config, "metadata": metadata})


def test_a_first_apply_ends_with_the_objects_and_a_second_one_has_no_step():
    desired = asks(POOL, REGION)

    first = diff(desired, Live())

    assert first.steps[-1].kind == "reconcile-objects"
    assert diff(desired, applied(desired)).steps == ()


def test_a_file_that_is_new_for_a_server_adds_each_field():
    plan = diff(asks(POOL), applied(desired_of()))

    assert changes(plan) == [
        ("work_pools/etl.type", None, "process"),
        ("work_pools/etl.concurrency_limit", None, 2),
    ]
    assert step_of(plan).summary == f"Prefect's objects, from {PATH}: add or adopt work_pools/etl"
    assert plan.risk is Risk.NONE


def test_a_changed_entry_names_each_field_with_both_values():
    larger = PrefectObject("work_pools", {"name": "etl", "type": "process", "is_paused": True})

    plan = diff(asks(larger, REGION), applied(asks(POOL, REGION)))

    assert changes(plan) == [
        ("work_pools/etl.concurrency_limit", 2, "no longer in the file: left as it is"),
        ("work_pools/etl.is_paused", None, True),
    ]


def test_an_entry_that_is_gone_stays_and_is_reported():
    plan = diff(asks(REGION), applied(asks(POOL, REGION)))

    assert plan.steps == ()
    [warning] = plan.warnings
    assert warning.startswith("Prefect's objects that the file no longer has stay on the server: ")
    assert warning.endswith("work_pools/etl. `prune: true` removes them.")


def test_an_entry_that_is_gone_is_removed_with_prune():
    plan = diff(asks(REGION, prune=True), applied(asks(POOL, REGION)))

    assert step_of(plan).removed == ("work_pools/etl",)
    assert plan.risk is Risk.DOWNTIME
    assert plan.warnings == ()


@pytest.mark.parametrize("prune", [False, True])
def test_what_once_was_in_a_file_is_remembered_after_another_apply(prune):
    """An apply of something else must not forget what stayed."""
    live = applied(asks(POOL, REGION))
    other = PrefectObject("variables", {"name": "region", "value": "us"})
    later = record_after(live, asks(other))

    plan = diff(asks(other, prune=prune), later)

    assert bool(plan.steps) is prune
    assert bool(plan.warnings) is not prune


def record_after(live, desired):
    """Return the live state after the step of a plan, as the fake Fly keeps it."""
    fly = PretendFly(live)
    fly.carry_out(diff(desired, live).steps)
    return fly.live


def test_a_file_that_is_named_no_more_leaves_its_objects_or_removes_them_with_prune():
    live = applied(asks(POOL))

    kept, gone = diff(desired_of(), live), diff(desired_of(prune=True), live)

    assert kept.steps == ()
    assert "work_pools/etl" in kept.warnings[0]
    assert step_of(gone).removed == ("work_pools/etl",)
    assert step_of(gone).path == ""


def test_a_new_machine_has_no_record_so_all_is_compared_again():
    desired = asks(POOL, region="fra", **POSTGRES)

    plan = diff(desired, applied(asks(POOL, **POSTGRES)))

    assert [step.kind for step in plan.steps][-1] == "reconcile-objects"


POSTGRES = {
    "database": {"backend": "postgres", "url_secret": "DATABASE_URL"},
    "secrets": ["PREFECT_SERVER_API_AUTH_STRING", "DATABASE_URL"],
}


def test_another_address_of_the_database_says_how_its_objects_are_set():
    live, desired = applied(asks(POOL, **POSTGRES)), asks(POOL, **POSTGRES)
    without = replace(live, secrets=tuple(s for s in live.secrets if s.name != "DATABASE_URL"))

    moved, same = diff(desired, without), diff(desired, live)

    [note] = [note for note in moved.warnings if "if it is another database" in note]
    assert str(Command("drift", "staging", "--objects", "--heal")) in note
    assert not any("another database" in note for note in same.warnings)


def test_a_server_without_a_machine_has_no_objects():
    desired = asks(POOL, scaling={"count": 0}, **POSTGRES)

    assert "reconcile-objects" not in [step.kind for step in diff(desired, Live()).steps]


def test_the_data_of_a_backup_gets_the_objects_again_and_knows_what_was_roosts():
    live = applied(asks(POOL, REGION))
    record = record_on(live.machines)
    older = with_record(live, record.outdated())

    plan = diff(asks(REGION, prune=True), older)

    assert changes(plan)[0] == ("variables/region.value", None, "eu")
    assert step_of(plan).removed == ("work_pools/etl",)


def test_a_rollback_by_hand_leaves_the_objects():
    history = History().went(level("INFO")).went(level("DEBUG"))
    desired = replace(history.desired, objects=ObjectsFile(PATH, (POOL,)))

    plan = plan_from(roll_back(desired, history.live, 1), history.live)

    assert "reconcile-objects" not in [step.kind for step in plan.steps]
    assert any("Prefect's objects stay" in warning for warning in plan.warnings)


# Secrets


PRINT = "scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAA$BBBBBBBBBBBBBBBBBBBBBB"
RECORD = ObjectsRecord((OPS,), (), {OPS.key: Written("", "t", {"HOOK": PRINT})})


def with_values(desired, **check):
    """Return what is asked for, with the result of comparing the values that are here."""
    found = ValueCheck(**{key: frozenset({PRINT}) for key in check})
    return replace(desired, object_values=found)


def test_another_value_of_a_secret_is_a_step_that_names_it_and_its_source():
    live = with_record(applied(asks(OPS)), RECORD)

    plan = diff(with_values(asks(OPS), changed=True), live)

    assert changes(plan) == [(FIELD, None, "set HOOK")]
    assert step_of(plan).sources == {"HOOK": "env HOOK"}


def test_a_value_that_is_not_here_is_listed_as_not_checked():
    live = with_record(applied(asks(OPS)), RECORD)

    absent, here = diff(asks(OPS), live), diff(with_values(asks(OPS), same=True), live)

    assert (absent.steps, here.steps) == ((), ())
    assert "HOOK" in absent.unchecked
    assert "HOOK" not in here.unchecked
    assert absent.sources["HOOK"] == "env HOOK"
    assert unchecked_secrets(desired_of(), our_machines(desired_of(), live)) == ()


def test_a_pull_request_without_values_approves_a_changed_value_by_its_source():
    live = with_record(applied(asks(OPS)), RECORD)
    shown = json.loads(json.dumps(plan_document(diff(asks(OPS), live))))
    approved = approve(shown, SALT)
    moved = replace(with_values(asks(OPS), changed=True), object_sources={"HOOK": "env OTHER"})

    assert unapproved(diff(with_values(asks(OPS), changed=True), live), approved, SALT) == ()
    assert unapproved(diff(moved, live), approved, SALT)


def test_a_pull_request_approves_the_entries_that_it_showed_and_no_others():
    live = applied(asks(OPS))
    approved = approve(json.loads(json.dumps(plan_document(diff(asks(OPS, POOL), live)))), SALT)
    larger = PrefectObject("work_pools", {**POOL.body, "concurrency_limit": 9})

    assert unapproved(diff(asks(OPS, POOL), live), approved, SALT) == ()
    assert unapproved(diff(asks(OPS, larger), live), approved, SALT)


@pytest.mark.parametrize(("source", "named"), [("env HOOK", ("HOOK",)), ("sops x.sops.yaml", ())])
def test_a_changed_value_of_a_variable_was_reviewed_by_nobody(source, named):
    live = with_record(applied(asks(OPS)), RECORD)
    desired = replace(with_values(asks(OPS), changed=True), object_sources={"HOOK": source})

    assert unreviewed_object_values(desired, live) == named
    assert unreviewed_object_values(replace(desired, object_values=ValueCheck()), live) == ()


def test_after_a_restore_a_value_that_nobody_reviewed_is_still_known_as_one():
    live = with_record(applied(asks(OPS)), RECORD.outdated())
    desired = with_values(asks(OPS), changed=True)

    assert unreviewed_object_values(desired, live) == ("HOOK",)
    fields = [field for field, *_ in changes(diff(desired, live))]
    assert fields == [f"{OPS.key}.data.url", FIELD]  # every entry is written again
    assert RECORD.outdated().written[OPS.key] == Written(fingerprints={"HOOK": PRINT})


def test_a_changed_file_is_drift_that_was_not_applied_yet():
    desired, live = asks(POOL, REGION), applied(asks(REGION))

    found = find_drift(diff(desired, live), desired, live, None)

    assert {difference.cause for difference in found} == {Cause.NOT_APPLIED}


def test_the_record_on_a_machine_survives_an_update_of_its_config():
    live = applied(asks(POOL))
    larger = asks(POOL, machine={"memory_mb": 1024})

    after = record_after(live, larger)

    assert record_on(after.machines) == record_on(live.machines)
