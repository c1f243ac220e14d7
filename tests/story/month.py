"""What a month costs, from the hours that each app is awake. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from roost.plan.budget import HOURS_PER_DAY
from roost.plan.cost import Prices
from roost.plan.cost_table import cost_table
from roost.plan.desired import Desired

DAYS = 30


@dataclass(frozen=True)
class Manner:
    """How long an app is awake around a run, in seconds, as measured.

    Args:
        before: from the wake until the run is due.
        after: from the time it is due until the app sleeps again.
    """

    before: float
    after: float


def office_and_night(begins: datetime) -> Mapping[str, tuple[datetime, ...]]:
    """Return the runs of 30 days of the examples' schedules, from a midnight on.

    The first project has one each full hour from 8 to 17, Monday to Friday; the second one each
    night at 3, and one a day at 11:30 that a person starts.
    """
    days = [begins + timedelta(days=number) for number in range(DAYS)]
    office = [day.replace(hour=hour) for day in days if day.weekday() < 5 for hour in range(8, 18)]
    hand = [day.replace(hour=11, minute=30) for day in days]
    return {
        "reports": tuple(office),
        "nightly": tuple(sorted([*hand, *(day.replace(hour=3) for day in days)])),
    }


def awake_hours(dues: Iterable[datetime], manner: Manner) -> float:
    """Return for how many hours an app is awake for runs; times that overlap count once."""
    before, after = timedelta(seconds=manner.before), timedelta(seconds=manner.after)
    total, until = timedelta(0), None
    for due in sorted(dues):
        begins, ends = due - before, due + after
        begins = begins if until is None else max(begins, until)
        total += max(timedelta(0), ends - begins)
        until = ends if until is None else max(until, ends)
    return total / timedelta(hours=1)


def month_usd(wanted: Desired, prices: Prices, hours_per_day: float) -> float:
    """Return what an app costs in 30 days with so many awake hours a day."""
    day = min(HOURS_PER_DAY, max(0.0, hours_per_day))
    return cost_table("", wanted, prices, (day,)).total.amounts[0]
