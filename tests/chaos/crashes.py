"""Let an apply die before and after every call in turn, and lose every answer in turn."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum

from chaos.commands import Ended
from chaos.invariants import long_leases
from chaos.row_writers import Visitors, visiting
from chaos.scenarios import BAD_INPUT, DONE, Scenario
from chaos.testbed import Ground
from chaos.unexpected_errors import MOST
from helpers.api_door import HANG_UP, Answer
from helpers.roost_command import shows_traceback

MOST_CALLS = 500


class Moment(Enum):
    """When it happens, seen from one call of the API."""

    BEFORE = "killed before"
    AFTER = "killed after"
    LOST = "answer lost"


@dataclass(frozen=True)
class Point:
    """One bad moment, and what was wrong once the next apply had gone on from there."""

    call: str
    moment: Moment
    faults: tuple[str, ...]
    unaided: bool = False
    """Whether the very apply that met it got to the end."""

    @property
    def converged(self) -> bool:
        """Whether all was as it should be."""
        return not self.faults

    def __str__(self) -> str:
        return (
            f"{self.moment.value} {self.call or 'nothing'}: {'; '.join(self.faults) or 'converged'}"
        )


@dataclass
class Outcome:
    """All that happened in one scenario."""

    scenario: Scenario
    points: list[Point] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    mishaps: list[str] = field(default_factory=list)
    """What nobody expected, beside the points."""

    def of(self, *moments: Moment) -> list[Point]:
        """Return the points of these moments."""
        return [point for point in self.points if point.moment in moments]

    @property
    def failed(self) -> list[Point]:
        """Return the points from which it did not converge."""
        return [point for point in self.points if not point.converged]

    @property
    def faults(self) -> list[str]:
        """Return all that was wrong, a line each."""
        lost = (f"{self.lost} rows lost",) if self.lost else ()
        told = (*map(str, self.failed), *lost, *self.mishaps)
        return [f"{self.scenario.name}, {one}" for one in told]


@dataclass
class Play:
    """One scenario on its ground, moment after moment.

    Args:
        ground: where.
        scenario: what.
        every: of so many calls only one is struck, from `first` on; 1 strikes them all.
        first: the first call to strike.
    """

    ground: Ground
    scenario: Scenario
    every: int = 1
    first: int = 1
    _changes: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _visitors: Visitors | None = None

    def run(self, moments: tuple[Moment, ...] = tuple(Moment)) -> Outcome:
        """Play all of it; what nobody expects is told, and ends no more than this scenario."""
        outcome = Outcome(self.scenario)
        try:
            self._run(moments, outcome)
        except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
            outcome.mishaps.append(f"not played to its end: {self.ground.tell_mishap(error)}")
        return outcome

    def _run(self, moments: tuple[Moment, ...], outcome: Outcome) -> None:
        if not self.scenario.fresh:
            self.prepare()
        with self.visitors() as visitors:
            self._visitors = visitors
            for moment in moments:
                outcome.points += self.points(moment)
        if visitors:
            outcome.acknowledged = len(visitors.acknowledged)
            outcome.mishaps += visitors.mishaps
            outcome.lost = len(visitors.lost())

    def visitors(self) -> AbstractContextManager[Visitors | None]:
        """Have somebody write all the time, where it is to be found afterwards."""
        return visiting(self.ground) if self.scenario.visited else nullcontext()

    def prepare(self) -> None:
        """Bring up what is there before the change."""
        self.ground.write(self.scenario.before)
        self.ground.expect(DONE, "apply")

    def start_over(self) -> None:
        """Have nothing of before: after a mishap nobody knows what is there."""
        if self._visitors:
            self._visitors.forget()
        self.ground.remove()
        if not self.scenario.fresh:
            self.prepare()

    def points(self, moment: Moment) -> Iterator[Point]:
        """Strike call after call, until the change is through before it is struck."""
        mishaps = 0
        for number in range(self.first, MOST_CALLS, self.every):
            try:
                point = self.point(moment, number)
            except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
                told = self.ground.tell_mishap(error)
                yield Point(f"call {number}", moment, (told,))
                mishaps += 1
                if mishaps == MOST:
                    return
                self.start_over()
                continue
            if point is None:
                return
            yield point
            if not point.call:
                return

    def point(self, moment: Moment, number: int) -> Point | None:
        """Strike one call, and look; None where there is none of that number, and all is well."""
        change = next(self._changes)
        self.ground.write(self.scenario.after(change))
        self.scenario.setup(self.ground, change)
        ended, struck = self.strike(moment, number)
        late = long_leases(self.ground)
        self.ground.end_leases()
        if struck:
            return self.go_on(Point(struck, moment, late), ended)
        wrong = (*late, *self.wrong_end(ended, {self.scenario.code}))
        if self.scenario.again != self.scenario.command:
            wrong += self.wrong_end(self.ground.run(*self.scenario.again), {DONE})
        wrong += self.check()
        return Point("", moment, wrong) if wrong else None

    def strike(self, moment: Moment, number: int) -> tuple[Ended, str]:
        """Apply, and let it happen at the call of that number; return the call it happened at."""
        numbers, mine, struck = itertools.count(1), threading.local(), []

        def here(when: Moment, call: str) -> Answer | None:
            if "/localfly/" in call:
                return None  # not a call of Fly's API
            if when is Moment.BEFORE:
                mine.number = next(numbers)
            at_once = Moment.BEFORE if moment is Moment.BEFORE else Moment.AFTER
            if mine.number != number or when is not at_once:
                return None
            struck.append(self.ground.short(call))
            if moment is not Moment.LOST:
                self.ground.commands.kill()
            return HANG_UP

        self.ground.door.asked = lambda call: here(Moment.BEFORE, call)
        self.ground.door.answered = lambda call: here(Moment.AFTER, call)
        self.ground.begin(*self.scenario.command)
        ended = self.ground.commands.finish()
        self.ground.open_door()
        return ended, struck[0] if struck else ""

    def go_on(self, point: Point, ended: Ended) -> Point:
        """Apply again, and look at what is there then."""
        ends = {self.scenario.code} if self.scenario.kept else {self.scenario.code, BAD_INPUT}
        wrong = point.faults
        if point.moment is Moment.LOST:
            wrong += self.wrong_end(ended, {DONE, 1, *ends})
        again = self.ground.run(*self.scenario.again)
        wrong += self.wrong_end(again, ends)
        unaided = ended.code == self.scenario.code
        return Point(point.call, point.moment, (*wrong, *self.check()), unaided)

    def wrong_end(self, ended: Ended, codes: set[int]) -> tuple[str, ...]:
        """Return how a command ended otherwise than it should."""
        return (
            *((f"ended with {ended.code}: {ended.last}",) if ended.code not in codes else ()),
            *(("a traceback",) if shows_traceback(ended.said) else ()),
        )

    def check(self) -> tuple[str, ...]:
        """Look at all that is there; then make ready for the next point."""
        if not self.scenario.kept:
            self.ground.write(self.scenario.before)
        stands = self.scenario.stands(self.ground)
        found = (*stands, *self.scenario.check(self.ground), *self.ground.mishaps())
        if self.scenario.fresh:
            self.ground.remove()
        elif self.scenario.back:
            self.ground.write(self.scenario.before)
            self.ground.expect(DONE, *self.scenario.back)
        return found
