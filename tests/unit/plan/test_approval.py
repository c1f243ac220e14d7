"""What a merge approves, and what of a later plan it does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from helpers.environments import environment_file
from helpers.plans import IMAGE
from helpers.pretend_fly import applied, with_machine
from roost.environment.model import AUTH_SECRET
from roost.plan.approval import approve, read_approved, unapproved
from roost.plan.backups import Note, Rest, with_note
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.document import plan_digest, plan_document
from roost.plan.live import Live
from roost.plan.steps import Change, SetSecrets, StartMachine, UpdateMachine

SALT = "https://github.com/acme/infra/pull/7"


def desired_of(**fields):
    file = environment_file(name="staging", **fields)
    return desired_state(file, IMAGE.format(version=file.environment.prefect.version))


def plan_of(before=None, **after):
    live = Live() if before is None else applied(desired_of(**before))
    return diff(desired_of(**after), live)


def approved_of(plan, salt=SALT):
    """What a pull request that shows the plan approves, as its comment remembers it."""
    document = json.loads(json.dumps(plan_document(plan)))
    return read_approved(json.loads(json.dumps(approve(document, salt).document())))


UPGRADE = {"machine": {"memory_mb": 1024}, "prefect": {"version": "3.9.0"}}
FIRST = plan_of()
CHANGE = plan_of({}, **UPGRADE)


@pytest.mark.parametrize("plan", [FIRST, CHANGE], ids=["first deploy", "change"])
def test_the_plan_that_was_shown_is_approved(plan):
    assert unapproved(plan, approved_of(plan), SALT) == ()


def test_fewer_steps_are_fine():
    fewer = replace(FIRST, steps=FIRST.steps[2:])

    assert unapproved(fewer, approved_of(FIRST), SALT) == ()


def test_a_step_more_is_not_approved_and_is_named():
    approved = approved_of(replace(FIRST, steps=FIRST.steps[:-1]))

    assert unapproved(FIRST, approved, SALT) == ("machine/app-1: create the machine app-1 in iad",)


def test_a_step_that_would_send_something_else_is_not_approved():
    other = plan_of({}, **{**UPGRADE, "machine": {"memory_mb": 2048}})

    assert unapproved(other, approved_of(CHANGE), SALT) == (
        "machine/app-1: update the machine app-1",
    )


def test_a_step_from_another_value_is_not_approved():
    """Somebody changed the machine since: the person who merged saw another old value."""
    moved = plan_of({"machine": {"memory_mb": 768}}, **UPGRADE)

    assert unapproved(moved, approved_of(CHANGE), SALT)


def test_an_approval_does_not_hold_for_another_pull_request_environment_or_app():
    approved = approved_of(CHANGE)

    assert unapproved(CHANGE, approved, SALT.replace("7", "8"))
    assert unapproved(replace(CHANGE, environment="production"), approved, SALT)
    assert unapproved(replace(CHANGE, app="acme-other"), approved, SALT)


def test_a_server_that_fell_asleep_or_was_started_since_is_changed_as_approved():
    [step] = CHANGE.steps
    asleep = replace(step, skip_launch=True, summary=f"{step.summary}, which stays asleep")
    start = StartMachine(key="machine/app-1", summary="start the machine", machine="m")
    plan = replace(CHANGE, steps=(replace(asleep, current_version="01X"), start))

    assert unapproved(plan, approved_of(CHANGE), SALT) == ()


def set_secret(name, source=""):
    sources = {name: source or f"env {name}"}
    summary = f"set the secrets {name}"
    return SetSecrets(key="secrets/set", summary=summary, names=(name,), sources=sources)


def test_a_backup_or_anybodys_note_between_the_plan_and_the_merge_changes_nothing_of_it():
    live = applied(desired_of())
    [machine] = live.machines
    notes = with_note(machine, "vs_1", Note("roost backup", Rest.HELD)) | {"somebodys": "note"}
    metadata = {**machine.config["metadata"], **notes}
    noted = with_machine(live, config={**machine.config, "metadata": metadata})
    shown, later = (diff(desired_of(**UPGRADE), found) for found in (live, noted))

    assert later.steps
    assert unapproved(later, approved_of(shown), SALT) == ()
    assert plan_digest(later) == plan_digest(shown)


def test_a_secret_whose_value_no_pull_request_knows_may_get_another_one():
    """With the boot that this needs, alone or within an approved change."""
    [step] = CHANGE.steps
    seen = Change("secrets", "older", "newer")
    unchecked = replace(CHANGE, unchecked=(AUTH_SECRET,))
    boot = replace(step, changes=(seen,))
    both = replace(step, changes=(*step.changes, seen))

    for update in (boot, both):
        plan = replace(CHANGE, steps=(set_secret(AUTH_SECRET), update))
        assert unapproved(plan, approved_of(unchecked), SALT) == ()


def test_a_boot_for_secrets_that_nobody_sets_is_not_approved():
    [step] = CHANGE.steps
    boot = replace(step, changes=(Change("secrets", "older", "newer"),))
    plan = replace(CHANGE, steps=(boot,))

    assert isinstance(boot, UpdateMachine)
    assert unapproved(plan, approved_of(replace(CHANGE, steps=())), SALT)


def test_a_secret_that_the_plan_did_not_name_is_not_approved():
    plan = replace(CHANGE, steps=(set_secret("OTHER"), *CHANGE.steps))

    assert unapproved(plan, approved_of(CHANGE), SALT) == ("secret/OTHER: take it from env OTHER",)


@pytest.mark.parametrize("shown", ["unchecked", "a step"])
def test_a_secret_is_approved_from_the_source_that_was_shown_and_from_no_other(shown):
    """Whoever merged saw where its value comes from, and another merge may have changed that."""
    seen = {"HOOK": "env HOOK"}
    steps = (set_secret("HOOK"),) if shown == "a step" else ()
    unchecked = () if steps else ("HOOK",)
    approved = approved_of(replace(CHANGE, steps=steps, unchecked=unchecked, sources=seen))

    def left(source):
        return unapproved(replace(CHANGE, steps=(set_secret("HOOK", source),)), approved, SALT)

    assert left("env HOOK") == ()
    assert left("env OTHER") == ("secret/HOOK: take it from env OTHER",)
    assert left("sops staging.sops.yaml") == ("secret/HOOK: take it from sops staging.sops.yaml",)


def test_a_secret_s_approval_holds_for_no_other_pull_request_environment_or_app():
    plan = replace(CHANGE, steps=(set_secret("HOOK"),))
    approved = approved_of(plan)
    told = ("secret/HOOK: take it from env HOOK",)

    assert unapproved(plan, approved, SALT) == ()
    assert unapproved(plan, approved, SALT.replace("7", "8")) == told
    assert unapproved(replace(plan, environment="production"), approved, SALT) == told
    assert unapproved(replace(plan, app="acme-other"), approved, SALT) == told


def test_a_comment_from_before_sources_were_shown_approves_no_secret():
    """Its names stood there alone; nobody saw where the values come from."""
    old = read_approved({"digest": "", "seals": [], "secrets": ["HOOK"]})

    assert unapproved(replace(CHANGE, steps=(set_secret("HOOK"),)), old, SALT)


def test_a_secret_without_a_known_source_is_not_approved():
    unknown = SetSecrets(key="secrets/set", summary="", names=("HOOK",))
    plan = replace(CHANGE, steps=(unknown,))

    assert unapproved(plan, approved_of(plan), SALT) == (
        "secret/HOOK: take it from a source that is not known",
    )


def test_the_digest_of_a_plan_covers_the_sources():
    one, other = (replace(CHANGE, steps=(set_secret("HOOK", s),)) for s in ("env A", "env B"))

    assert plan_digest(one) != plan_digest(other)


@pytest.mark.parametrize(
    "junk",
    [{}, {"digest": 1, "seals": [], "secrets": []}, {"digest": "", "seals": "", "secrets": []}],
)
def test_junk_is_no_approval(junk):
    with pytest.raises(ValueError, match="no approval"):
        read_approved(junk)
