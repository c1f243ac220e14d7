"""Only a failed release that is refused by name can be cleared; anything else has another way out."""

from __future__ import annotations

import pytest

from helpers.histories import CLEARED, FAILED, GOOD, PENDING, History, level
from roost.errors import ExitCode, RoostError, UnappliableError, UsageError
from roost.errors.command import bare
from roost.plan.allow_retry import check_clearable, find_release

ONE, TWO = level("DEBUG"), level("INFO")


def refused(history, number, error=UnappliableError):
    with pytest.raises(RoostError) as found:
        check_clearable("staging", history.releases, number)
    assert type(found.value) is error
    assert found.value.exit_code is ExitCode.BAD_INPUT
    return str(found.value)


def test_a_failed_release_can_be_cleared_wherever_it_stands():
    history = History().went(ONE).went(TWO, FAILED).went(ONE, back_to=1)

    assert check_clearable("staging", history.releases, 2).number == 2


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (
            GOOD,
            "Release 1 passed its gate, so there is nothing to clear. To roll back to it: `roost rollback",
        ),
        (CLEARED, "Release 1 is cleared already. Try it: roost apply staging"),
        (PENDING, "Release 1 has no verdict yet. To prove it, or to apply the file: roost"),
    ],
)
def test_what_did_not_fail_is_refused_with_what_to_do_instead(verdict, told):
    assert told in refused(History().went(ONE, verdict), 1)


def test_of_a_setup_that_failed_twice_the_later_one_is_to_be_cleared():
    history = History().went(TWO, FAILED).went(ONE).went(TWO, FAILED)

    told = refused(history, 1)

    assert "Release 1 failed again as release 3, and that one is refused." in told
    assert "`roost releases staging --clear 3`" in told
    assert check_clearable("staging", history.releases, 3).number == 3


def test_a_number_that_is_not_remembered_is_refused_with_those_that_are():
    told = refused(History().went(ONE).went(TWO), 3, UsageError)

    assert "There is no release 3, or its record was dropped; there are 1, 2." in told


def test_an_environment_without_releases_says_how_to_make_one():
    with pytest.raises(UsageError, match="the environment has none yet") as found:
        find_release("staging", (), 1)
    assert bare(found.value.advice) == "Make the first one: roost apply staging"
