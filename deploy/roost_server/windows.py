"""Windows of the week in which a server stays awake, such as `mon-fri 08:00-18:00 Europe/Berlin`.

The server decides by them when to sleep, and Roost plans and prices them. Only deploy/ is in the image,
so this file is at two places, word for word: deploy/roost_server/windows.py and
scripts/roost/environment/windows.py. A test compares them.

A window is open from the first to the last moment of its day at which a clock there shows a time inside
it. So a change to or from summer time never shortens it: a time that a clock shows twice counts from the
first and until the second, and one that it skips means the moment after the gap.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAILY = "daily"
SEPARATOR = "; "
_DAY = f"(?:{'|'.join(DAYS)})"
DAYS_FORM = rf"^({DAILY}|{_DAY}(-{_DAY})?(,{_DAY}(-{_DAY})?)*)$"
FROM_FORM = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
TO_FORM = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
ZONE_FORM = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
_A_DAY = 24 * 60
# Local dates and those in UTC differ by one, and a window may have begun the day before.
_BEFORE = timedelta(days=2)
# A window that falls into a gap is left out that week.
_AHEAD = timedelta(days=16)
# 52 weeks have each weekday equally often and both changes of the clock; any year does.
_FIRST, _WEEKS = date(2027, 1, 4), 52
_MONTH_D = 30


class WindowError(ValueError):
    """A text that is no window, or a time zone that is not known here."""


@dataclass(frozen=True)
class Window:
    """One window, in the words of the environment file.

    Args:
        days: on which days it opens: `mon-fri`, `sat,sun`, `daily`.
        start: when it opens, as HH:MM.
        end: when it closes, as HH:MM, up to 24:00; at or before `start` it is on the next day.
        timezone: the zone of both, by its name in the tz database.
    """

    days: str
    start: str
    end: str
    timezone: str

    def __str__(self) -> str:
        return f"{self.days} {self.start}-{self.end} {self.timezone}"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone.

        Raises:
            WindowError: it is not in this computer's database.
        """
        try:
            return ZoneInfo(self.timezone)
        except (LookupError, ValueError, OSError):  # also a folder's name, such as Europe
            raise WindowError(f"the time zone {self.timezone} is not known") from None

    @property
    def weekdays(self) -> frozenset[int]:
        """The days on which it opens; Monday is 0."""
        parts = ["mon-sun"] if self.days == DAILY else self.days.split(",")
        return frozenset(day for part in parts for day in _weekdays(part))


@dataclass(frozen=True)
class Span:
    """A time in which windows are open, in UTC; windows that touch or overlap are one span.

    Args:
        begin: when it begins.
        end: when it ends; not part of it.
        opens: the window that begins it.
        closes: the window that ends it.
    """

    begin: datetime
    end: datetime
    opens: Window
    closes: Window


def read_windows(text: str) -> tuple[Window, ...]:
    """Read what `write_windows` wrote.

    Raises:
        WindowError: a part of it is no window.
    """
    return tuple(read_window(part) for part in text.split(SEPARATOR) if part)


def write_windows(windows: Iterable[Window]) -> str:
    """Return windows as one line of text."""
    return SEPARATOR.join(map(str, windows))


def read_window(text: str) -> Window:
    """Read `DAYS HH:MM-HH:MM ZONE`.

    Raises:
        WindowError: it has another form.
    """
    days, _, rest = text.partition(" ")
    hours, _, zone = rest.partition(" ")
    start, _, end = hours.partition("-")
    forms = ((DAYS_FORM, days), (FROM_FORM, start), (TO_FORM, end), (ZONE_FORM, zone))
    if not all(re.fullmatch(form, part) for form, part in forms) or start == end:
        raise WindowError("it is no window, such as mon-fri 08:00-18:00 Europe/Berlin")
    return Window(days, start, end, zone)


def spans_around(windows: Sequence[Window], now: datetime) -> tuple[Span | None, Span | None]:
    """Return the span that is open at a time, and the next that begins after it; None for none.

    Raises:
        WindowError: a time zone is not known.
    """
    today = now.astimezone(UTC).date()
    found = _spans(windows, today - _BEFORE, today + _AHEAD)
    is_open = next((span for span in found if span.begin <= now < span.end), None)
    return is_open, next((span for span in found if span.begin > now), None)


@cache
def hours_a_month(windows: tuple[Window, ...]) -> float:
    """Return for how many hours of 30 days windows are open, on average over a year.

    Raises:
        WindowError: a time zone is not known.
    """
    last = _FIRST + timedelta(weeks=_WEEKS)
    first, end = (datetime.combine(day, time(), UTC) for day in (_FIRST, last))
    found = _spans(windows, _FIRST - _BEFORE, last + _BEFORE)
    inside = (min(span.end, end) - max(span.begin, first) for span in found)
    hours = sum(max(length, timedelta(0)) / timedelta(hours=1) for length in inside)
    return hours / (_WEEKS * len(DAYS)) * _MONTH_D


def _spans(windows: Sequence[Window], first: date, last: date) -> list[Span]:
    """Return the spans of windows that open on the days from first to last, in order."""
    merged: list[Span] = []
    every = (span for window in windows for span in _openings(window, first, last))
    for span in sorted(every, key=lambda span: (span.begin, span.end)):
        if not merged or span.begin > merged[-1].end:
            merged.append(span)
        elif span.end > merged[-1].end:
            before = merged.pop()
            merged.append(Span(before.begin, span.end, before.opens, span.closes))
    return merged


def _openings(window: Window, first: date, last: date) -> Iterator[Span]:
    """Return each opening of one window; one of which no moment exists is left out."""
    zone, weekdays = window.zone, window.weekdays
    start, end = _minutes(window.start), _minutes(window.end)
    end += _A_DAY if end <= start else 0
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if day.weekday() not in weekdays:
            continue
        begins = _moment(day, start, zone, fold=0)
        ends = _moment(day, end, zone, fold=1)
        if begins < ends:
            yield Span(begins, ends, window, window)


def _moment(day: date, minutes: int, zone: ZoneInfo, *, fold: int) -> datetime:
    """Return in UTC when a clock shows a time of a day; the moment after the gap where it never does.

    Args:
        day: the day.
        minutes: the time, in minutes since midnight; it may be on the next day.
        zone: the clock's zone.
        fold: 0 for the first time that it is shown, 1 for the last.
    """
    wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
    found = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    if _shown(found, zone) == wall:
        return found
    # In a gap, the folds mean the times before and after it (PEP 495).
    before, after = (wall.replace(tzinfo=zone, fold=each).astimezone(UTC) for each in (1, 0))
    seconds = range(int((after - before).total_seconds()) + 1)
    return before + timedelta(
        seconds=bisect_left(
            seconds, wall, key=lambda passed: _shown(before + timedelta(seconds=passed), zone)
        )
    )


def _shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what a clock shows at a moment."""
    return moment.astimezone(zone).replace(tzinfo=None)


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _weekdays(part: str) -> Iterator[int]:
    """Return the days of `mon` or `fri-mon`, which goes over Sunday."""
    first, _, last = part.partition("-")
    begin = DAYS.index(first)
    count = (DAYS.index(last or first) - begin) % len(DAYS)
    return ((begin + number) % len(DAYS) for number in range(count + 1))
