"""Going back by hand: to which release, what goes back and what does not, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from helpers.environments import POSTGRES
from helpers.histories import CLEARED, FAILED, PENDING, History, desired_of, level
from roost.errors import ExitCode, UnappliableError, UsageError
from roost.errors.command import bare
from roost.plan.diff import plan_from
from roost.plan.live import Live
from roost.plan.override import Override, marked
from roost.plan.rollback import roll_back
from roost.plan.steps import Risk

ASKS_FOR_ELSE = (
    "The file asks for something else than release {}: merge a revert of it, or the next apply "
    "undoes the rollback."
)
ONE, TWO, THREE = level("DEBUG"), level("INFO"), level("ERROR")
OLDER, NEWER = level("INFO", "3.7.8"), level("INFO", "3.8.8")


def three_good():
    return History().went(ONE).went(TWO).went(THREE)


def back(history, to=None, desired=None):
    """What it takes, and the plan."""
    recovery = roll_back(desired or history.desired, history.live, to)
    return recovery, plan_from(recovery, history.live)


def refused(history, to=None, error=UnappliableError):
    with pytest.raises(error) as found:
        roll_back(history.desired, history.live, to)
    assert found.value.exit_code is ExitCode.BAD_INPUT
    return str(found.value)


def test_the_last_good_release_before_this_one_is_put_back():
    recovery, plan = back(three_good())

    [step] = plan.steps
    assert recovery.back_to == 2
    assert step.config["env"]["PREFECT_LOGGING_LEVEL"] == "INFO"
    assert plan.refusals == ()


def test_a_release_is_put_back_by_its_number():
    assert back(three_good(), to=1)[0].back_to == 1


def test_going_back_again_goes_further_back_and_not_to_what_was_left():
    assert back(three_good().went(TWO, back_to=2))[0].back_to == 1


def test_what_was_left_can_be_put_back_by_its_number():
    assert back(three_good().went(TWO, back_to=2), to=3)[0].back_to == 3


def test_a_release_that_put_another_one_back_counts_as_that_one():
    history = three_good().went(TWO, back_to=2).went(THREE, back_to=3)

    assert back(history, to=4)[0].back_to == 2


def test_failed_and_pending_releases_are_passed_over():
    history = History().went(ONE).went(TWO, PENDING).went(THREE)

    assert back(history)[0].back_to == 1


def test_a_release_that_was_no_good_when_it_was_put_back_is_passed_over():
    history = three_good().went(TWO, FAILED, back_to=2).went(THREE, back_to=3)

    assert back(history)[0].back_to == 1


def test_a_release_that_differs_in_nothing_that_goes_back_is_passed_over():
    """A value of a secret was changed between 2 and 3: no going back changes that."""
    history = History().went(ONE).went(TWO)
    history.live = replace(
        history.live,
        secrets=tuple(s.model_copy(update={"digest": "other"}) for s in history.live.secrets),
    )
    history.went(TWO)

    assert back(history)[0].back_to == 1


@pytest.mark.parametrize("verdict", [FAILED, PENDING, CLEARED])
def test_from_what_is_not_good_the_newest_good_release_is_put_back(verdict):
    assert back(History().went(ONE).went(TWO).went(THREE, verdict))[0].back_to == 2


def test_going_back_that_was_cut_short_goes_on_and_not_to_what_it_left():
    recovery, plan = back(three_good().went(ONE, PENDING, back_to=1))

    assert recovery.back_to == 1
    assert [step.kind for step in plan.steps] == ["prove-release"]


def test_a_way_back_that_failed_may_be_tried_again():
    history = History().went(ONE).went(TWO, FAILED).went(ONE, FAILED, back_to=1)

    recovery, plan = back(history)

    assert recovery.back_to == 1
    assert [step.kind for step in plan.steps] == ["prove-release"]


def test_an_environment_that_was_never_applied_has_nothing_to_go_back_to():
    with pytest.raises(UsageError, match=r"has no release yet\. Make the first one: roost apply"):
        roll_back(ONE, Live(), None)


def test_the_first_release_has_nothing_before_it():
    assert "There is no good release before release 1. List them" in refused(History().went(ONE))


def test_a_number_that_is_not_remembered_is_refused_with_those_that_are():
    told = refused(three_good(), 7, UsageError)

    assert "There is no release 7, or its record was dropped; there are 1, 2, 3." in told
    assert "`roost releases staging`" in told


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        (FAILED, "Release 2 failed: Checks failed: pages: 404. Good releases: 1."),
        (PENDING, "Release 2 was never proved. Good releases: 1."),
        (CLEARED, "Release 2 failed, and was only cleared to be tried again. Good releases: 1."),
    ],
)
def test_a_release_that_was_not_proved_good_is_refused_with_those_that_were(verdict, why):
    assert why in refused(History().went(ONE).went(TWO, verdict).went(THREE), 2)


def test_a_release_that_is_live_already_is_refused():
    told = refused(three_good(), 3)

    assert "Release 3 is live already. Good releases: 1, 2." in told
    again = refused(three_good().went(TWO, back_to=2), 2)
    assert "Release 4, which is live, is the same configuration as 2." in again


def test_a_release_that_failed_when_it_was_put_back_is_refused_until_it_is_cleared():
    history = three_good().went(TWO, FAILED, back_to=2).went(THREE, back_to=3)
    cleared = three_good().went(TWO, CLEARED, back_to=2).went(THREE, back_to=3)

    told = refused(history, 2)

    assert "Release 2 failed when it was restored as release 4: Checks failed" in told
    assert "`roost releases staging --clear 4`" in told
    assert back(cleared, 2)[0].back_to == 2


def test_a_downgrade_of_what_was_proved_is_refused_and_names_the_snapshot_from_before():
    """The server would put its copy back, and what it acknowledged since would be lost."""
    history = History().went(OLDER).went(NEWER, snapshot="vs_1")

    recovery, plan = back(history)

    [refusal] = plan.refusals
    assert refusal.what == "Prefect 3.8.8 already migrated the database; 3.7.8 cannot read it"
    assert bare(refusal.advice).endswith(
        "with prefect.version 3.7.8 in the file, `roost restore staging --snapshot vs_1`."
    )
    assert recovery.desired.back is False


@pytest.mark.parametrize("verdict", [FAILED, PENDING, CLEARED])
def test_a_downgrade_of_an_upgrade_that_was_never_proved_goes_back(verdict):
    history = History().went(OLDER).went(NEWER, verdict)

    recovery, plan = back(history)

    assert recovery.desired.back is True
    assert (plan.refusals, plan.risk) == ((), Risk.MIGRATION)


def test_a_downgrade_past_a_proved_upgrade_is_refused_though_what_is_live_is_not_proved():
    history = History().went(OLDER).went(NEWER).went(level("DEBUG", "3.8.8"), PENDING)

    _, plan = back(history, to=1)

    assert [r.what for r in plan.refusals] == [
        "Prefect 3.8.8 already migrated the database; 3.7.8 cannot read it"
    ]


def test_the_number_of_machines_goes_back_too():
    def scaled(count):
        return desired_of(POSTGRES, scaling={"count": count})

    recovery, plan = back(History().went(scaled(1)).went(scaled(3)))

    assert len(recovery.desired.machines) == 1
    assert [step.kind for step in plan.steps] == ["destroy-machine", "destroy-machine"]


def test_secrets_and_all_else_stay_as_the_file_says_and_the_plan_says_so():
    history = three_good()
    history.live = replace(
        history.live,
        secrets=tuple(s.model_copy(update={"digest": "other"}) for s in history.live.secrets),
    )

    _, plan = back(history)

    assert plan.warnings == (
        "Secrets changed since release 2; a rollback does not restore their values.",
        ASKS_FOR_ELSE.format(2),
    )
    assert [step.kind for step in plan.steps] == ["update-machine"]


def test_a_file_that_was_reverted_already_is_not_asked_for_again():
    history = History().went(ONE).went(TWO)

    assert back(history)[1].warnings == (ASKS_FOR_ELSE.format(1),)
    assert back(history, desired=ONE)[1].warnings == ()


LARGER = Override(
    fields={"memory_mb": 1024},
    until=datetime(2030, 1, 1, tzinfo=UTC),
    reason="demo",
    who="octocat",
    since=datetime(2029, 12, 31, tzinfo=UTC),
)
LONGER = replace(LARGER, until=datetime(2030, 1, 2, tzinfo=UTC))
RESTS = "The scaling override in force ends."
COMES_BACK = (
    "Release 2 ran with a scaling override, which is restored with it: memory_mb 1024 until "
    "2030-01-01 00:00 UTC. To end it again: `roost scale staging --clear`."
)


def under(override, **fields):
    """What the file asks for while an override is in force."""
    return marked(level("DEBUG", machine={"memory_mb": 1024}, **fields), override)


def scaled_and_cleared():
    """Release 2 is an override, and release 3 its end."""
    return History().went(ONE).went(under(LARGER)).went(ONE)


def test_an_override_that_was_cleared_is_not_brought_back():
    history = scaled_and_cleared().went(TWO)

    assert back(history)[0].back_to == 3


def test_going_back_again_passes_over_an_override_that_was_cleared():
    history = scaled_and_cleared().went(TWO).went(ONE, back_to=3)

    assert "There is no good release before release 5." in refused(history)


def test_an_override_that_was_cleared_is_not_gone_back_to_where_only_secrets_changed_since():
    history = History().went(THREE).went(ONE).went(under(LARGER)).went(ONE)
    history.live = replace(
        history.live,
        secrets=tuple(s.model_copy(update={"digest": "other"}) for s in history.live.secrets),
    )
    history.went(ONE)

    assert back(history)[0].back_to == 1


@pytest.mark.parametrize("verdict", [FAILED, PENDING, CLEARED])
def test_from_what_is_not_good_an_override_that_ended_is_passed_over_too(verdict):
    history = History().went(ONE).went(under(LARGER)).went(TWO, verdict)

    assert back(history)[0].back_to == 1


def test_an_override_that_ended_is_not_passed_over_for_an_older_prefect():
    newer = under(LARGER, version="3.8.8")
    history = History().went(level("DEBUG", "3.7.8")).went(newer).went(TWO, FAILED)

    assert back(history)[0].back_to == 2


def test_an_override_whose_end_failed_is_what_was_good_last():
    assert back(History().went(ONE).went(under(LARGER)).went(ONE, FAILED))[0].back_to == 2


def test_a_release_under_the_override_in_force_is_gone_back_to():
    history = History().went(ONE).went(under(LARGER)).went(marked(THREE, LARGER))

    recovery, plan = back(history)

    assert recovery.back_to == 2
    assert not [told for told in plan.warnings if "override" in told]


def test_a_release_that_is_named_brings_its_override_back_and_the_plan_says_so():
    warnings = back(scaled_and_cleared().went(TWO), to=2)[1].warnings

    assert bare(warnings[0]) == COMES_BACK


def test_an_override_in_force_that_a_release_did_not_have_is_said_to_end():
    history = History().went(ONE).went(under(LARGER))

    assert back(history)[1].warnings[0] == RESTS


def test_one_override_in_place_of_another_is_told():
    history = (
        History().went(ONE).went(under(LARGER)).went(under(LONGER, scaling={"idle_after": "7m"}))
    )

    assert [bare(line) for line in back(history, to=2)[1].warnings[:2]] == [RESTS, COMES_BACK]
