"""What a plan makes of the releases before it: it goes on, goes back, refuses, or only warns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from helpers.environments import POSTGRES, environment_file
from helpers.histories import (
    CLEARED,
    FAILED,
    GOOD,
    NEVER_WORKED,
    PENDING,
    History,
    desired_of,
    level,
    records_of,
)
from helpers.pretend_fly import with_machine
from roost.environment.model import AUTH_SECRET
from roost.errors.command import bare
from roost.plan.diff import diff
from roost.plan.override import Override, marked
from roost.plan.releases import rollback_target
from roost.plan.steps import Change, Risk

ONE, TWO, THREE = level("DEBUG"), level("INFO"), level("ERROR")


def kinds(plan):
    assert plan.refusals == ()
    return [step.kind for step in plan.steps]


def level_in(step):
    return step.config["env"]["PREFECT_LOGGING_LEVEL"]


def test_what_was_proved_good_is_neither_changed_nor_proved_again():
    plan = diff(ONE, History().went(ONE).live)

    assert (kinds(plan), plan.warnings) == ([], ())


@pytest.mark.parametrize("verdict", [PENDING, FAILED, CLEARED])
def test_what_is_live_and_not_proved_is_proved(verdict):
    live = History().went(ONE, verdict).live

    [step] = diff(ONE, live).steps

    assert (step.kind, step.key) == ("prove-release", "release/1")
    assert (step.machine, step.current_version) == (
        live.machines[0].id,
        live.machines[0].instance_id,
    )


def test_a_change_is_the_proof_of_what_was_not_proved():
    assert kinds(diff(TWO, History().went(ONE, PENDING).live)) == ["update-machine"]


def test_records_are_no_part_of_a_plan():
    """Verdicts come after a plan was made, and it stays the same plan."""
    history = History().went(ONE)
    before = diff(TWO, history.live)

    [step] = before.steps

    assert records_of(step.config) == []
    assert records_of(history.live.machines[0].config) == [(1, "good")]


def test_a_failed_release_is_refused_with_the_command_that_allows_it_again():
    live = History().went(ONE).went(TWO, FAILED).went(ONE, back_to=1).live

    [refusal] = diff(TWO, live).refusals

    assert refusal.key == "release/2"
    assert refusal.what == ("the same configuration failed as release 2: Checks failed: pages: 404")
    assert bare(refusal.advice) == (
        "Change the file, or allow it again: `roost releases staging --clear 2`."
    )


def test_a_mended_file_and_a_cleared_release_go_forward():
    failed = History().went(ONE).went(TWO, FAILED).went(ONE, back_to=1)
    cleared = History().went(ONE).went(TWO, CLEARED).went(ONE, back_to=1)

    for plan in (diff(THREE, failed.live), diff(TWO, cleared.live)):
        assert (kinds(plan), plan.warnings) == (["update-machine"], ())


def test_the_same_file_with_another_value_of_a_secret_is_another_release():
    live = History().went(ONE).went(TWO, FAILED).went(ONE, back_to=1).live
    rotated = tuple(s.model_copy(update={"digest": "another"}) for s in live.secrets)

    plan = diff(TWO, replace(live, secrets=rotated))
    assert kinds(plan) == ["set-secrets", "update-machine"]


def test_a_secret_that_is_still_to_be_set_may_mend_what_failed():
    more = desired_of(secrets=[AUTH_SECRET, "HOOK"])
    live = History().went(ONE).went(more, FAILED).went(ONE, back_to=1).live
    without = replace(live, secrets=tuple(s for s in live.secrets if s.name != "HOOK"))

    assert kinds(diff(more, without)) == ["set-secrets", "update-machine"]


def test_a_failed_release_that_still_stands_is_gone_back_from():
    live = History().went(ONE).went(TWO, FAILED).live

    plan = diff(TWO, live)

    [step] = plan.steps
    assert level_in(step) == "DEBUG"
    assert plan.warnings == (
        f"Release 2, which the file asks for, failed: {NEVER_WORKED} The plan rolls back to release 1.",
    )


def test_going_back_that_was_cut_short_goes_on():
    live = History().went(ONE).went(TWO, FAILED).went(ONE, PENDING, back_to=1).live

    plan = diff(TWO, live)

    assert kinds(plan) == ["prove-release"]
    assert "The plan rolls back to release 1." in plan.warnings[0]


def test_going_back_that_failed_is_tried_again():
    history = History().went(ONE).went(TWO, FAILED).went(ONE, FAILED, back_to=1)

    plan = diff(TWO, history.live)

    assert kinds(plan) == ["prove-release"]
    assert "The plan rolls back to release 1." in plan.warnings[0]


def test_a_file_that_asks_for_what_was_good_once_is_no_way_back():
    """Else an apply that worked would end as one that was rolled back."""
    history = History().went(ONE).went(TWO, FAILED).went(ONE, FAILED, back_to=1)

    plan = diff(ONE, history.live)

    assert (kinds(plan), plan.warnings) == (["prove-release"], ())


def test_without_any_good_release_the_failed_one_is_proved_again():
    assert kinds(diff(ONE, History().went(ONE, FAILED).live)) == ["prove-release"]


def test_an_upgrade_that_failed_is_gone_back_from_across_its_migration():
    older, newer = level("INFO", "3.7.8"), level("INFO")
    live = History().went(older).went(newer, FAILED).live

    plan = diff(newer, live)

    [step] = plan.steps
    assert step.risk is Risk.MIGRATION
    assert Change("metadata.roost_prefect_version", "3.8.8", "3.7.8") in step.changes


@pytest.mark.parametrize("version", ["2.20.1", "3.7.8", "3.8.7"])
def test_a_file_with_an_older_prefect_than_is_live_is_refused_with_the_way_out(version):
    """Even patch releases of Prefect bring migrations."""
    [refusal] = diff(level("INFO", version), History().went(level("INFO")).live).refusals

    assert refusal.what == f"Prefect 3.8.8 already migrated the database; {version} cannot read it"
    assert refusal.advice.startswith("Keep version 3.8.8. To go back with the data from before")
    assert bare(refusal.advice).endswith("--snapshot ID` (`roost backups staging` lists them).")


def test_an_older_prefect_on_a_database_of_somebody_else_has_no_snapshot_of_ours():
    live = History().went(level("INFO", **POSTGRES)).live

    [refusal] = diff(level("INFO", "3.7.8", **POSTGRES), live).refusals

    assert refusal.advice == (
        "Keep version 3.8.8. For the older one, make a new environment with a database from before "
        "the upgrade."
    )


def by_hand():
    """Release 1, put back by a person although 2 was good."""
    return History().went(ONE).went(TWO)


BACK_BY_HAND = "Somebody rolled back to release 1, as release 3; the file asks for "
AND_GOES_THERE = ", which an apply restores. To stay, merge a revert of the file first."


@pytest.mark.parametrize("verdict", [GOOD, PENDING])
def test_after_going_back_by_hand_the_file_still_counts_and_the_plan_says_so(verdict):
    live = by_hand().went(ONE, verdict, back_to=1).live

    plan = diff(TWO, live)

    [step] = plan.steps
    assert (step.kind, level_in(step)) == ("update-machine", "INFO")
    assert plan.warnings == (f"{BACK_BY_HAND}release 2 again{AND_GOES_THERE}",)


def test_after_going_back_by_hand_a_file_that_is_new_goes_forward_as_well():
    live = by_hand().went(ONE, back_to=1).live

    assert diff(THREE, live).warnings == (f"{BACK_BY_HAND}something else{AND_GOES_THERE}",)


def test_after_going_back_by_hand_a_reverted_file_is_live_already():
    plan = diff(ONE, by_hand().went(ONE, back_to=1).live)

    assert (kinds(plan), plan.warnings) == ([], ())


def test_a_secret_that_was_changed_since_is_no_file_that_asks_for_something_else():
    live = by_hand().went(ONE, back_to=1).live
    rotated = tuple(s.model_copy(update={"digest": "another"}) for s in live.secrets)

    assert diff(ONE, replace(live, secrets=rotated)).warnings == ()


@pytest.mark.parametrize("left", [FAILED, CLEARED])
def test_what_an_apply_put_back_itself_is_not_by_hand(left):
    history = History().went(ONE).went(TWO, left)
    history.went(ONE, PENDING, back_to=1).went(ONE, back_to=1)

    assert diff(THREE, history.live).warnings == ()


def test_releases_of_a_machine_whose_host_is_silent_are_still_known():
    live = History().went(ONE).went(TWO, FAILED).went(ONE, back_to=1).live
    silent = with_machine(live, config=None, incomplete_config=live.machines[0].config)

    assert "release/2" in {refusal.key for refusal in diff(TWO, silent).refusals}


def test_another_environments_releases_are_not_ours():
    other = History().went(ONE).went(TWO, FAILED).live
    ours = desired_of(app="acme-prefect")
    ours = replace(ours, environment=environment_file(name="production").name)

    assert "release/2" not in {refusal.key for refusal in diff(ours, other).refusals}


MORE_MEMORY = Override(
    fields={"memory_mb": 1024},
    until=datetime(2030, 1, 1, tzinfo=UTC),
    reason="demo",
    who="octocat",
    since=datetime(2029, 12, 31, tzinfo=UTC),
)
SCALED = marked(level("DEBUG", machine={"memory_mb": 1024}), MORE_MEMORY)


def put_back_after(*went):
    history = History()
    for desired, verdict in went:
        history.went(desired, verdict)
    return rollback_target(history.releases).number


def test_an_override_that_ended_before_what_failed_is_not_put_back():
    assert put_back_after((ONE, GOOD), (SCALED, GOOD), (ONE, PENDING), (TWO, FAILED)) == 1


def test_an_override_whose_very_end_failed_is_put_back():
    assert put_back_after((ONE, GOOD), (SCALED, GOOD), (ONE, FAILED)) == 2


def test_no_older_prefect_is_put_back_for_the_sake_of_an_override():
    older = level("DEBUG", "3.7.8")

    assert put_back_after((older, GOOD), (SCALED, GOOD), (ONE, PENDING), (TWO, FAILED)) == 2


def test_an_override_that_is_all_there_is_is_put_back():
    assert put_back_after((SCALED, GOOD), (ONE, PENDING), (TWO, FAILED)) == 1
