"""When the flows of the story are due. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

OFFICE, NIGHT, HAND = "office-hours", "nightly", "by-hand"
OFFICE_BEGINS, OFFICE_ENDS, NIGHT_AT, HAND_AT = 1 / 6, 5 / 12, 2 / 3, 5 / 6
OFFICE_RUNS = 4
SHORTEST_MIN, LONGEST_MIN = 6, 60
"""In an hour each minute of the clock comes once, so a cron of minutes alone says when a run is due."""


@dataclass(frozen=True)
class Timetable:
    """The times of the runs of one story.

    Args:
        begins: its first minute, in UTC, without seconds.
        minutes: how long it goes on.
    """

    begins: datetime
    minutes: int

    @property
    def ends(self) -> datetime:
        """The end of the story."""
        return self.begins + timedelta(minutes=self.minutes)

    @property
    def office(self) -> tuple[datetime, ...]:
        """The runs of the first schedule: several close to each other, as during office hours."""
        step = (OFFICE_ENDS - OFFICE_BEGINS) / (OFFICE_RUNS - 1)
        found = (self._at(OFFICE_BEGINS + step * number) for number in range(OFFICE_RUNS))
        return tuple(dict.fromkeys(found))

    @property
    def night(self) -> tuple[datetime, ...]:
        """The run of the second schedule, alone."""
        return (self._at(NIGHT_AT),)

    @property
    def hand(self) -> tuple[datetime, ...]:
        """When a person starts a run in the UI."""
        return (self._at(HAND_AT),)

    def _at(self, share: float) -> datetime:
        return self.begins + timedelta(minutes=round(share * self.minutes))


def next_minute(now: datetime) -> datetime:
    """Return the first full minute that is not over."""
    return now.replace(second=0, microsecond=0) + timedelta(minutes=1)


def cron(moments: tuple[datetime, ...]) -> str:
    """Return the cron line of an hour's moments."""
    return f"{','.join(str(each) for each in sorted({at.minute for at in moments}))} * * * *"
