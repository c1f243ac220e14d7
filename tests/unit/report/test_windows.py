"""Sentences about the windows in which a server stays awake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost.environment.windows import read_windows, spans_around
from roost.errors.command import bare
from roost.plan.awake_windows import WindowState
from roost.plan.next_due import NextDue
from roost.report.windows import opening, slept_in_window, window_notes

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
OFFICE = "mon-fri 08:00-18:00 Europe/Berlin"
NIGHT = "mon 12:00-06:00 Asia/Tokyo"


def notes(text, now=NOW, due=None, *, is_awake=True):
    state = WindowState(*spans_around(read_windows(text), now))
    return [bare(note) for note in window_notes("staging", state, due, now, is_awake=is_awake)]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOW + timedelta(hours=5), "18:00 Europe/Berlin (mon-fri 08:00-18:00)"),
        (NOW + timedelta(hours=19), "Tue 08:00 Europe/Berlin (mon-fri 08:00-18:00)"),
        (NOW + timedelta(days=6), "Sun 13:00 Europe/Berlin (mon-fri 08:00-18:00)"),
        (NOW + timedelta(days=7), "2026-12-07 13:00 Europe/Berlin (mon-fri 08:00-18:00)"),
    ],
)
def test_a_time_is_that_of_the_clock_there(at, expected):
    assert opening(OFFICE, at, NOW) == expected


@pytest.mark.parametrize("text", ["office\nhours", "mon 08:00-18:00 Mars/Base"])
def test_a_window_that_is_not_understood_is_shown_with_its_time_in_utc(text):
    shown = opening(text, NOW, NOW)

    assert shown.startswith("2026-11-30 12:00 UTC (")
    assert shown.isprintable()


def test_an_awake_server_says_until_when_it_stays_so_and_what_comes_next():
    assert notes(OFFICE) == [
        "A window is open until 18:00 Europe/Berlin. The server stays awake until then.",
        "Next window: Tue 08:00 Europe/Berlin (mon-fri 08:00-18:00).",
    ]


def test_a_next_window_that_another_note_names_is_not_named_again():
    tomorrow, run = NextDue(NOW + timedelta(hours=19), window=OFFICE), NextDue(NOW, "nightly", "a")

    assert notes(OFFICE, due=tomorrow) == notes(OFFICE)[:1]
    assert notes(OFFICE, due=run) == notes(OFFICE)
    # It is open, and no other note says so.
    assert notes(OFFICE, due=NextDue(NOW, window=OFFICE)) == notes(OFFICE)


def test_a_server_without_windows_has_no_notes_on_them():
    assert list(window_notes("staging", None, None, NOW, is_awake=True)) == []


def test_a_window_ends_by_the_clock_of_the_one_that_closes_last():
    [first, _] = notes(f"{OFFICE}; {NIGHT}")

    assert first.startswith("A window is open until Tue 06:00 Asia/Tokyo.")


def test_a_server_that_sleeps_in_an_open_window_says_what_wakes_it():
    first, *_ = notes(OFFICE, is_awake=False)

    assert first == (
        "A window is open until 18:00 Europe/Berlin, and the server sleeps. The next request wakes it, "
        "and it stays awake until then. To wake it now: roost wake staging"
    )


def test_outside_of_windows_only_the_next_is_named():
    assert notes(OFFICE, datetime(2026, 12, 4, 18, 0, tzinfo=UTC)) == [
        "Next window: Mon 08:00 Europe/Berlin (mon-fri 08:00-18:00)."
    ]


def test_a_server_that_is_put_to_sleep_in_a_window_is_said_to_stay_awake_at_the_next_request():
    span, _ = spans_around(read_windows(OFFICE), NOW)

    assert slept_in_window(span, NOW) == (
        "A window is open until 18:00 Europe/Berlin. No tick wakes the server for this window again. "
        "The next request wakes it, and it then stays awake until this window closes."
    )
