"""Windows of the week: how they are read, when they are open, and what a change of the clock does."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_server.windows import (
    DAYS,
    Window,
    WindowError,
    hours_a_month,
    read_window,
    read_windows,
    spans_around,
    write_windows,
)

ROOT = Path(__file__).parents[3]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OFFICE = "mon-fri 08:00-18:00 Europe/Berlin"
# Both hemispheres, half an hour, at midnight, two changes around Ramadan, and none.
ZONES = (
    *("Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe"),
    *("Pacific/Auckland", "America/Santiago", "Africa/Cairo", "Asia/Beirut", "Africa/Casablanca"),
    *("Atlantic/Azores", "America/Asuncion", "Asia/Kathmandu", "Pacific/Kiritimati", "UTC"),
)
CLOCKS = st.integers(0, 24 * 60 - 1).map(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}")


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def around(text, now):
    """Return when the span that is open ends, and when the next begins, without the year."""
    is_open, following = spans_around(read_windows(text), utc(now))
    return tuple(
        f"{each:%m-%d %H:%M}" if each else None
        for each in (is_open and is_open.end, following and following.begin)
    )


@cache
def changes_of(name):
    """Return the days on which the clocks of a zone change in a year, and the days around."""
    zone, at = ZoneInfo(name), datetime(2026, 1, 1, tzinfo=UTC)
    moments = [at + HOUR * number for number in range(366 * 24)]
    offsets = [moment.astimezone(zone).utcoffset() for moment in moments]
    found = {
        moments[number].astimezone(zone).date() + DAY * aside
        for number in range(1, len(moments))
        if offsets[number] != offsets[number - 1]
        for aside in (-1, 0, 1)
    }
    return sorted(found) or [date(2026, 3, 29)]


def test_the_two_copies_of_the_module_are_one_text():
    copies = ("deploy/roost_server/windows.py", "scripts/roost/environment/windows.py")
    server, tool = ((ROOT / path).read_text() for path in copies)

    assert server == tool, f"change one, and copy it: cp {copies[0]} {copies[1]}"


@pytest.mark.parametrize(
    "text",
    [
        OFFICE,
        "daily 00:00-24:00 UTC",
        "sat,sun 22:00-06:00 America/Argentina/Buenos_Aires",
        "fri-mon,wed 00:00-00:01 Etc/GMT+3",
    ],
)
def test_a_window_is_written_as_it_was_read(text):
    assert str(read_window(text)) == text
    assert write_windows(read_windows(f"{text}; {OFFICE}")) == f"{text}; {OFFICE}"


def test_no_windows_are_an_empty_text():
    assert (read_windows(""), write_windows(())) == ((), "")


@pytest.mark.parametrize(
    "text",
    [
        "mon-fri",
        "mon-fri 08:00 Europe/Berlin",
        "mon-fri 8:00-18:00 Europe/Berlin",
        "mon-fri 08:00-24:01 Europe/Berlin",
        "mon-fri 24:00-08:00 Europe/Berlin",
        "mon-fri 08:00-08:00 Europe/Berlin",
        "Mon 08:00-18:00 Europe/Berlin",
        "mon, tue 08:00-18:00 Europe/Berlin",
        "weekdays 08:00-18:00 Europe/Berlin",
        "mon- 08:00-18:00 Europe/Berlin",
        "mon 08:00-18:00 ../etc/passwd",
        "mon 08:00-18:00 /etc/passwd",
        "mon 08:00-18:00 Europe/Berlin\n",
        "mon 08:00-18:00 Europe/Berlin x",
        "mon 0\uff18:00-18:00 Europe/Berlin",
    ],
)
def test_another_text_is_no_window(text):
    with pytest.raises(WindowError, match="no window, such as mon-fri 08:00-18:00"):
        read_windows(f"{OFFICE}; {text}")


@pytest.mark.parametrize("zone", ["Mars/Base", "Europe", "Europe/Berlin/East"])
def test_a_zone_that_is_not_known_is_named(zone):
    with pytest.raises(WindowError, match=f"the time zone {zone} is not known"):
        spans_around([read_window(f"mon 08:00-18:00 {zone}")], utc("2026-11-30T12:00"))


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("mon", {0}),
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("sat,sun", {5, 6}),
        ("fri-mon", {4, 5, 6, 0}),
        ("sun-mon,wed", {6, 0, 2}),
        ("mon-mon", {0}),
        ("daily", set(range(7))),
    ],
)
def test_days_are_lists_and_ranges(days, expected):
    assert Window(days, "08:00", "18:00", "UTC").weekdays == expected


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        pytest.param(OFFICE, "2026-11-30T06:59", (None, "11-30 07:00"), id="before"),
        pytest.param(OFFICE, "2026-11-30T07:00", ("11-30 17:00", "12-01 07:00"), id="begins"),
        pytest.param(OFFICE, "2026-11-30T16:59:59", ("11-30 17:00", "12-01 07:00"), id="ends"),
        pytest.param(OFFICE, "2026-11-30T17:00", (None, "12-01 07:00"), id="after"),
        pytest.param(OFFICE, "2026-12-04T18:00", (None, "12-07 07:00"), id="over the weekend"),
        pytest.param(
            "mon 22:00-06:00 UTC", "2026-12-01T05:00", ("12-01 06:00", "12-07 22:00"), id="midnight"
        ),
        pytest.param(
            "mon 22:00-06:00 UTC",
            "2026-11-30T05:00",
            (None, "11-30 22:00"),
            id="not the day before",
        ),
        pytest.param(
            "mon 20:00-24:00 UTC", "2026-11-30T23:59", ("12-01 00:00", "12-07 20:00"), id="24:00"
        ),
        pytest.param(
            "mon 08:00-12:00 UTC; mon 12:00-18:00 UTC; mon 10:00-11:00 UTC",
            "2026-11-30T09:00",
            ("11-30 18:00", "12-07 08:00"),
            id="they touch",
        ),
        pytest.param(
            "mon 08:00-12:00 Asia/Tokyo; mon 09:00-10:00 Europe/Berlin",
            "2026-11-29T23:30",
            ("11-30 03:00", "11-30 08:00"),
            id="of two zones",
        ),
        pytest.param(
            "mon 00:00-02:00 Pacific/Kiritimati",
            "2026-11-29T11:00",
            ("11-29 12:00", "12-06 10:00"),
            id="a day ahead",
        ),
        pytest.param("", "2026-11-30T12:00", (None, None), id="none"),
    ],
)
def test_what_is_open_and_what_comes_next(text, now, expected):
    assert around(text, now) == expected


@pytest.mark.parametrize(
    ("hours", "day", "opens", "closes"),
    [
        pytest.param("08:00-18:00", "2026-03-28", "07:00", "17:00", id="winter"),
        pytest.param("08:00-18:00", "2026-03-29", "06:00", "16:00", id="summer begins"),
        pytest.param("01:00-02:30", "2026-03-29", "00:00", "01:00", id="ends in the gap"),
        pytest.param("02:15-03:15", "2026-03-29", "01:00", "01:15", id="begins in the gap"),
        pytest.param("02:30-04:00", "2026-10-25", "00:30", "03:00", id="begins at the first 02:30"),
        pytest.param("01:00-02:30", "2026-10-25", "23:00", "01:30", id="ends at the second 02:30"),
        pytest.param("02:15-02:45", "2026-10-25", "00:15", "01:45", id="never shorter"),
        pytest.param("08:00-18:00", "2026-10-25", "07:00", "17:00", id="winter begins"),
    ],
)
def test_a_change_of_the_clock_moves_a_window_and_never_shortens_it(hours, day, opens, closes):
    window = read_window(f"sat,sun {hours} Europe/Berlin")
    _, found = spans_around([window], utc(f"{day}T00:00") - 12 * HOUR)

    assert (f"{found.begin:%H:%M}", f"{found.end:%H:%M}") == (opens, closes)


def test_a_window_that_lies_in_the_gap_is_left_out_that_day():
    assert around("daily 02:15-02:45 Europe/Berlin", "2026-03-28T12:00") == (None, "03-30 00:15")


@given(st.data(), st.sampled_from(ZONES), CLOCKS, CLOCKS | st.just("24:00"))
def test_a_window_is_open_from_the_first_to_the_last_minute_that_a_clock_shows_inside(
    data, zone, start, end
):
    """Counted minute by minute around the days on which the clocks of a zone change."""
    if start == end:
        return
    day = data.draw(st.sampled_from(changes_of(zone)))
    here = ZoneInfo(zone)
    hours, minutes = (timedelta(hours=int(t[:2]), minutes=int(t[3:])) for t in (start, end))
    midnight = datetime.combine(day, time())
    opens, closes = midnight + hours, midnight + minutes + (DAY if minutes <= hours else 0 * DAY)
    first = midnight.replace(tzinfo=UTC) - DAY
    shown = {
        moment: moment.astimezone(here).replace(tzinfo=None)
        for moment in (first + MINUTE * number for number in range(4 * 24 * 60))
    }
    inside = [moment for moment, wall in shown.items() if opens <= wall < closes]

    window = Window(DAYS[day.weekday()], start, end, zone)
    before = spans_around([window], first - 2 * DAY)[1]

    if inside:
        assert (before.begin, before.end) == (inside[0], inside[-1] + MINUTE)
    else:
        assert before.begin > first + 4 * DAY


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("", 0),
        (OFFICE, 50 / 7 * 30),
        ("daily 00:00-24:00 UTC", 720),
        ("daily 00:00-24:00 UTC; mon 08:00-10:00 Asia/Tokyo", 720),
        # An hour less in spring, an hour more in autumn.
        ("daily 01:00-04:00 Europe/Berlin", 90),
        # The second 02:30 of autumn makes it an hour longer; in spring it is left out.
        ("sun 02:15-02:45 Europe/Berlin", (50 * 0.5 + 1.5) / 52 / 7 * 30),
    ],
)
def test_the_hours_of_a_month_are_those_of_a_year(text, hours):
    assert hours_a_month(read_windows(text)) == pytest.approx(hours)
