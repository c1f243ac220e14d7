"""When a machine was awake, from its events. Pure.

Fly keeps the newest events of a machine (the API returns at most 50), so what lies before the oldest of
them is unknown unless that is the machine's first. Times are seconds since the epoch, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from roost.fly.models import Machine, MachineEvent

DAY_S = 86400.0
_ENDS = frozenset({"stopped", "suspended", "destroyed", "failed"})
_RUNS = frozenset({"started", "stopping", "suspending", "replacing", "restarting"})
"""States in which a machine is paid as awake."""


@dataclass(frozen=True)
class Span:
    """A time in which a machine was awake, from `begin` to before `end`."""

    begin: float
    end: float

    def within(self, begin: float, end: float) -> float:
        """Return how many seconds of it are between two times."""
        return max(0.0, min(self.end, end) - max(self.begin, begin))


@dataclass(frozen=True)
class AwakeTime:
    """What is known of a machine's awake time.

    Args:
        spans: when it was awake, the oldest first.
        known_from: since when the spans are complete.
        since: since when it is awake now; None if it is not, or if that is unknown.
        wakes: when it was started, the oldest first.
    """

    spans: tuple[Span, ...]
    known_from: float
    since: float | None = None
    wakes: tuple[float, ...] = ()

    def seconds(self, begin: float, end: float) -> float:
        """Return for how many seconds it was awake between two times, as far as known."""
        return sum(span.within(begin, end) for span in self.spans)


def awake_time(machine: Machine, now: float) -> AwakeTime:
    """Return when a machine was awake, from its events and its present state."""
    events = sorted(
        (event for event in machine.events if 0 < event.timestamp / 1000 <= now),
        key=lambda event: event.timestamp,
    )
    if not events:
        return AwakeTime((), now)
    spans: list[Span] = []
    wakes: list[float] = []
    begun: float | None = None
    for event in events:
        at = event.timestamp / 1000
        if _begins(event) and begun is None:
            begun = at
            wakes.append(at)
        elif _ends(event) and begun is not None:
            spans.append(Span(begun, at))
            begun = None
    runs = machine.state in _RUNS
    if begun is not None:
        # A machine that rests without an event of its end rests since an unknown time.
        spans.append(Span(begun, now if runs else events[-1].timestamp / 1000))
    first = events[0].timestamp / 1000
    since = begun if runs else None
    return AwakeTime(tuple(spans), first, since, tuple(wakes))


def _begins(event: MachineEvent) -> bool:
    return event.status == "started" and event.type != "update"  # an update has the present state


def _ends(event: MachineEvent) -> bool:
    return event.type == "exit" or (event.status in _ENDS and event.type != "update")


def reaches_back(machine: Machine, begin: float) -> bool:
    """Return whether a machine's events are complete since a time."""
    if not machine.events:
        return False
    oldest = min(machine.events, key=lambda event: event.timestamp)
    return oldest.type == "launch" or oldest.timestamp / 1000 <= begin


def hours_by_day(spans: Iterable[Span], days: Iterable[date]) -> tuple[float, ...]:
    """Return the awake hours of each day, in UTC."""
    found = tuple(spans)
    begins = [_begin(day) for day in days]
    return tuple(sum(span.within(at, at + DAY_S) for span in found) / 3600 for at in begins)


def count_by_day(times: Iterable[float], days: Iterable[date]) -> tuple[int, ...]:
    """Return how many of these times are on each day, in UTC."""
    found = tuple(times)
    begins = [_begin(day) for day in days]
    return tuple(sum(at <= time < at + DAY_S for time in found) for at in begins)


def last_days(count: int, now: datetime) -> tuple[date, ...]:
    """Return so many days up to today, in UTC, the oldest first."""
    today = now.astimezone(UTC).date()
    return tuple(today - timedelta(days=back) for back in reversed(range(count)))


def _begin(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
