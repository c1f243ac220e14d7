"""The times of a story: when its runs are due, when apps were awake, and what a month of that costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers.environments import environment_file
from roost.plan.cost import read_prices
from roost.plan.desired_state import desired_state
from story.month import Manner, awake_hours, month_usd, office_and_night
from story.tables import measured_min, run_rows
from story.timeline import Look, Run, Span, spans, woken
from story.timetable import LONGEST_MIN, SHORTEST_MIN, Timetable, cron

BEGINS = datetime(2026, 11, 30, 13, 50, tzinfo=UTC)


def at(second):
    """Return a time so many seconds after the story began."""
    return BEGINS + timedelta(seconds=second)


@pytest.mark.parametrize("minutes", [SHORTEST_MIN, 13, 30, LONGEST_MIN])
def test_each_run_of_a_story_is_due_inside_it_and_once_in_an_hour(minutes):
    times = Timetable(BEGINS, minutes)
    dues = [*times.office, *times.night, *times.hand]

    assert dues == sorted(set(dues))
    assert dues[0] > BEGINS
    assert dues[-1] < times.ends
    assert len({due.minute for due in dues}) == len(dues)


def test_a_cron_names_the_minutes_of_all_moments():
    assert cron(Timetable(BEGINS, 60).office) == "0,5,10,15 * * * *"


def test_an_app_is_awake_from_the_look_that_saw_it_to_the_look_that_did_not():
    looks = [
        Look(at(0), frozenset()),
        Look(at(10), frozenset({"a"})),
        Look(at(20), frozenset({"a", "b"})),
        Look(at(30), frozenset({"b"})),
        Look(at(40), frozenset({"a", "b"})),
    ]

    found = spans(looks)

    assert found == (
        Span("a", at(10), at(30)),
        Span("b", at(20), at(40)),
        Span("a", at(40), at(40)),
    )


def test_only_the_minutes_inside_of_the_story_count():
    found = [Span("a", at(-60), at(30)), Span("a", at(3000), at(9999)), Span("b", at(0), at(60))]

    assert measured_min(found, "a", Timetable(BEGINS, 60)) == pytest.approx(0.5 + 10)


def run(due, started, state="Completed"):
    """Return a run of the schedule."""
    return Run("nightly", at(due), started and at(started), started and at(started + 5), state)


def test_who_woke_for_a_run_became_awake_shortly_before_it_started():
    found = [Span("a", at(0), at(500)), Span("s", at(240), at(500)), Span("n", at(301), at(500))]

    assert woken(run(300, 303), found) == ("s", "n")
    assert woken(run(300, None), found) == ()


def test_a_run_stands_beside_the_same_run_of_stock():
    table = run_rows([run(300, 303)], [run(300, 309)], [Span("acme", at(250), at(400))], "acme")

    assert table.splitlines()[2] == (
        "| nightly | 13:55:00 | +3.0 s | +8.0 s | Completed | server | +9.0 s |"
    )


def test_awake_times_that_overlap_count_once():
    manner = Manner(before=60, after=240)

    assert awake_hours([at(0)], manner) == pytest.approx(300 / 3600)
    assert awake_hours([at(0), at(120)], manner) == pytest.approx(420 / 3600)
    assert awake_hours([at(0), at(120), at(900)], manner) == pytest.approx(720 / 3600)
    assert awake_hours([at(0), at(0)], manner) == pytest.approx(300 / 3600)


def test_a_month_of_the_examples_has_its_working_days():
    found = office_and_night(datetime(2026, 11, 2, tzinfo=UTC))  # a Monday

    assert len(found["reports"]) == 22 * 10
    assert len(found["nightly"]) == 60


def test_an_app_that_never_sleeps_costs_what_the_column_always_on_says():
    prices = read_prices(Path(__file__).parents[3] / "deploy" / "prices.yaml")
    wanted = desired_state(environment_file(), "none")
    asleep, half, always = (month_usd(wanted, prices, hours) for hours in (0, 12, 24))

    assert asleep < half < always
    assert half == pytest.approx((asleep + always) / 2)
    assert month_usd(wanted, prices, 30) == always
