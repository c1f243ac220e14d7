"""A server with windows: awake inside, asleep outside, and the next window left before a sleep."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from roost.plan.next_due import LEAD
from roost_server.awake_windows import NEAR, VARIABLE, AwakeWindows
from roost_server.idle_suspend import AllWork
from roost_server.next_due import DueTimes, MachineMetadata

OFFICE = "mon-fri 08:00-18:00 Europe/Berlin"
SECOND = timedelta(seconds=1)


class Clock:
    """A clock that the test sets."""

    def __init__(self, text):
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def __call__(self):
        """Return the time."""
        return self.now


def windows(text, now):
    return AwakeWindows({VARIABLE: text}, Clock(now))


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ("2026-11-30T06:58:59", None),
        ("2026-11-30T06:59:00", f"the window {OFFICE} opens at 07:00:00 UTC"),
        ("2026-11-30T07:00:00", f"the window {OFFICE} is open"),
        ("2026-11-30T16:59:59", f"the window {OFFICE} is open"),
        ("2026-11-30T17:00:00", None),
        ("2026-12-05T12:00:00", None),
    ],
)
def test_an_open_window_keeps_the_server_awake(now, why):
    found = windows(OFFICE, now)

    assert found.stays_awake() == why
    assert asyncio.run(found.prepare_sleep()) is (why is None)


@pytest.mark.parametrize("end", ["16:00", "17:00"], ids=["summer", "winter"])
def test_it_sleeps_when_the_clock_on_the_wall_says_so_through_a_year(end):
    """Before and after each change of the clocks, at the same time there."""
    days = {"16:00": ("2026-03-30", "2026-10-23"), "17:00": ("2026-03-27", "2026-10-26")}[end]
    for day in days:
        clock = Clock(f"{day}T{end}")
        found = AwakeWindows({VARIABLE: OFFICE}, clock)
        at_end = found.stays_awake()
        clock.now -= SECOND
        assert (at_end, bool(found.stays_awake())) == (None, True)


def test_the_next_window_is_a_due_time():
    before, inside = (windows(OFFICE, f"2026-11-30T{clock}") for clock in ("05:00", "12:00"))

    assert asyncio.run(before.next_due()).document() == {
        "at": "2026-11-30T07:00:00+00:00",
        "window": OFFICE,
    }
    assert asyncio.run(inside.next_due()).document()["at"] == "2026-12-01T07:00:00+00:00"


def test_a_server_without_windows_says_nothing(capsys):
    found = AwakeWindows({})

    assert not found.is_used()
    assert (found.stays_awake(), found.report()) == (None, {})
    assert asyncio.run(found.next_due()) is None
    assert capsys.readouterr().out == ""


def test_the_report_says_until_when_a_window_is_open():
    assert windows(OFFICE, "2026-11-30T12:00").report() == {
        "windows": {"open_until": "2026-11-30T17:00:00+00:00", "faults": []}
    }
    assert windows(OFFICE, "2026-11-30T18:00").report()["windows"]["open_until"] is None


def test_a_zone_that_the_image_does_not_have_is_no_window_and_the_others_count(capsys):
    mars = "daily 00:00-24:00 Mars/Base"
    found = windows(f"{mars}; {OFFICE}", "2026-11-30T18:00")
    fault = f"the window {mars} cannot be used: the time zone Mars/Base is not known"

    assert found.stays_awake() is None
    assert found.report()["windows"]["faults"] == [fault]
    assert f"roost: {fault}; this server may sleep in that window" in capsys.readouterr().out
    assert asyncio.run(found.next_due()).details == {"window": OFFICE}


def test_a_variable_that_cannot_be_read_is_reported_and_ends_nothing():
    found = windows("office hours", "2026-11-30T12:00")

    assert not found.is_used()
    assert found.report()["windows"]["faults"] == [
        "ROOST_WINDOWS cannot be read: it is no window, such as mon-fri 08:00-18:00 Europe/Berlin"
    ]


def test_the_next_window_is_left_in_the_metadata_before_a_sleep(machine_api):
    clock = Clock("2026-11-30T16:59")
    found = AwakeWindows({VARIABLE: OFFICE}, clock)
    due_times = DueTimes((found,), (MachineMetadata(machine_api.environ),), lambda: True)
    work = AllWork((found, due_times))

    inside = asyncio.run(work.prepare_sleep())
    asked = list(machine_api.asked)
    clock.now += 60 * SECOND
    outside = asyncio.run(work.prepare_sleep())

    assert (inside, asked, outside) == (False, [], True)
    assert json.loads(machine_api.bodies[-1]["value"]) == {
        "at": "2026-12-01T07:00:00+00:00",
        "window": OFFICE,
    }


def test_a_server_that_a_tick_woke_for_a_window_does_not_sleep_again_before_it():
    assert NEAR >= LEAD
