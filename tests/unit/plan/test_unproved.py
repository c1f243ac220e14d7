"""A release that was given other secrets in its sleep: proved once, and unproved with those."""

from __future__ import annotations

import pytest

from roost.errors import UnappliableError
from roost.plan.allow_retry import check_clearable
from roost.plan.releases import (
    Release,
    Verdict,
    by_number,
    decode,
    kept,
    last_good,
    last_proved,
    snapshot_before,
)
from roost.plan.rollback import choose_release
from roost.prefect.versions import Version
from roost.report.wording import unproved_notes


def release(number, verdict, *, prefect="3.8.8", image="", snapshot=""):
    config = {"image": image or f"image:{number}", "metadata": {"roost_prefect_version": prefect}}
    return Release(number, "iad", config, 1, verdict=verdict, snapshot=snapshot)


GOOD, UNPROVED, PENDING = Verdict.GOOD, Verdict.UNPROVED, Verdict.PENDING


def test_a_record_of_it_is_read_as_it_was_written():
    assert decode(release(1, UNPROVED).encoded()) == release(1, UNPROVED)


def test_a_failed_apply_goes_back_to_it_for_its_setup_was_proved():
    """The one before may run an older Prefect, which cannot read the database any more."""
    releases = (release(1, GOOD, prefect="3.7.0"), release(2, UNPROVED), release(3, PENDING))

    found = last_good(releases)

    assert found is not None
    assert found.number == 2
    assert releases[1] in kept(releases)


def test_a_rollback_that_names_none_passes_it_over_and_names_it():
    releases = (release(1, GOOD), release(2, UNPROVED), release(3, GOOD))

    assert choose_release("demo", releases, None).number == 1
    assert choose_release("demo", releases, 2).number == 2
    assert last_proved(releases[:2]) == releases[0]
    with pytest.raises(UnappliableError, match="`roost rollback demo --to 2`"):
        choose_release("demo", releases[1:], None)


def test_its_database_counts_as_one_that_it_has_written():
    releases = (
        release(1, GOOD, prefect="3.7.0"),
        release(2, UNPROVED, prefect="3.8.8", snapshot="vs_old"),
    )

    assert snapshot_before(releases, Version(3, 8, 8)) == ""
    assert snapshot_before(releases, Version(3, 7, 0)) == "vs_old"


def test_it_cannot_be_cleared_and_the_refusal_says_what_proves_it():
    with pytest.raises(UnappliableError, match="`roost smoke demo`"):
        check_clearable("demo", (release(1, UNPROVED),), 1)


def test_the_verdict_that_comes_last_counts_of_two_records():
    assert by_number([release(1, GOOD), release(1, UNPROVED)])[0].verdict is UNPROVED


def test_only_the_live_release_is_told_to_be_unproved():
    assert list(unproved_notes("demo", (release(1, UNPROVED), release(2, GOOD)))) == []
    [told] = unproved_notes("demo", (release(1, GOOD), release(2, UNPROVED)))
    assert told.startswith("Release 2 is unproved")
    assert "roost smoke demo" in told
