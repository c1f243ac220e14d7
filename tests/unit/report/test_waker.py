"""Sentences about the waker, in `roost status`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost.errors.command import bare
from roost.plan.announced import Announced
from roost.plan.next_due import NextDue
from roost.report.due import asleep_notes
from roost.report.waker import asleep_waker_note, awake_waker_note

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
DUE = NextDue(NOW + timedelta(hours=1), "nightly", "load/all")


def note(announced):
    return bare(asleep_waker_note("staging", "acme-waker", announced, DUE))


def test_a_waker_that_took_the_time_wakes_the_server():
    assert note(Announced(DUE.at)) == (
        "The server sleeps until then. The waker acme-waker took that time and wakes it."
    )


@pytest.mark.parametrize(
    ("announced", "why"),
    [
        (None, "it does not know that time"),
        (Announced(None), "it does not know that time"),
        (Announced(NOW), "it does not know that time"),
        (Announced(DUE.at, "the waker answers status 507."), "the waker answers status 507"),
    ],
)
def test_a_waker_that_does_not_know_leaves_it_to_the_tick(announced, why):
    assert note(announced) == (
        f"The waker acme-waker does not know that time ({why}): only a tick wakes the server in time. "
        "To have the server announce it again: `roost wake staging`; it does so when it sleeps the "
        "next time."
    )


def test_the_note_stands_in_the_place_of_that_of_the_tick():
    found = list(asleep_notes("staging", DUE, (), NOW, "The waker wakes it."))

    assert len(found) == 2
    assert found[1] == "The waker wakes it."


def test_a_late_run_is_late_with_a_waker_too():
    late = NextDue(NOW - timedelta(minutes=12), "nightly", "load/all")

    assert "is late" in list(asleep_notes("staging", late, (), NOW, "The waker wakes it."))[1]


def test_an_awake_server_says_only_what_is_wrong():
    assert awake_waker_note("acme-waker", None) == ""
    assert awake_waker_note("acme-waker", Announced(NOW)) == ""
    assert awake_waker_note("acme-waker", Announced(NOW, "no route")) == (
        "The waker acme-waker does not know when this server is needed (no route). The server tries "
        "again, and may stay awake for that for up to 15 minutes."
    )
