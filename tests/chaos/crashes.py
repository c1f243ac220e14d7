"""Kill an apply before and after each API call, and lose each response, one at a time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum

from chaos.commands import CommandResult
from chaos.invariants import long_leases
from chaos.row_writers import RowWriter, writing_rows
from chaos.scenarios import BAD_INPUT, DONE, Scenario
from chaos.testbed import Testbed
from chaos.unexpected_errors import MAX_ERRORS
from helpers.api_door import HANG_UP, Answer
from helpers.roost_command import shows_traceback

MOST_CALLS = 500


class Moment(Enum):
    """When the fault happens, relative to an API call."""

    BEFORE = "killed before"
    AFTER = "killed after"
    LOST = "answer lost"


@dataclass(frozen=True)
class Point:
    """One fault, and what was wrong after the next apply."""

    call: str
    moment: Moment
    faults: tuple[str, ...]
    unaided: bool = False
    """Whether the very apply that met it got to the end."""

    @property
    def converged(self) -> bool:
        """Whether every point converged."""
        return not self.faults

    def __str__(self) -> str:
        return (
            f"{self.moment.value} {self.call or 'nothing'}: {'; '.join(self.faults) or 'converged'}"
        )


@dataclass
class Outcome:
    """The results of one scenario."""

    scenario: Scenario
    points: list[Point] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    errors: list[str] = field(default_factory=list)
    """What nobody expected, beside the points."""

    def of(self, *moments: Moment) -> list[Point]:
        """Return the points with these moments."""
        return [point for point in self.points if point.moment in moments]

    @property
    def failed(self) -> list[Point]:
        """Return the points that did not converge."""
        return [point for point in self.points if not point.converged]

    @property
    def faults(self) -> list[str]:
        """Return all faults, one line each."""
        lost = (f"{self.lost} rows lost",) if self.lost else ()
        told = (*map(str, self.failed), *lost, *self.errors)
        return [f"{self.scenario.name}, {one}" for one in told]


@dataclass
class CrashRun:
    """One scenario on its testbed, with one fault after the other.

    Args:
        testbed: the testbed.
        scenario: the kind of change.
        every: only each n-th call fails, from `first` on; 1 for all calls.
        first: the first call that fails.
    """

    testbed: Testbed
    scenario: Scenario
    every: int = 1
    first: int = 1
    _end: int = MOST_CALLS
    """In a sample: the call that the change was seen to end before; it is not repeated undisturbed for each moment."""
    _changes: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _row_writer: RowWriter | None = None

    def run(self, moments: tuple[Moment, ...] = tuple(Moment)) -> Outcome:
        """Run the scenario; an unexpected error is recorded and ends only this scenario."""
        outcome = Outcome(self.scenario)
        try:
            self._run(moments, outcome)
        except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
            outcome.errors.append(f"not played to its end: {self.testbed.describe_error(error)}")
        return outcome

    def _run(self, moments: tuple[Moment, ...], outcome: Outcome) -> None:
        if not self.scenario.fresh:
            self.prepare()
        with self.row_writer() as row_writer:
            self._row_writer = row_writer
            for moment in moments:
                outcome.points += self.points(moment)
        if row_writer:
            outcome.acknowledged = len(row_writer.acknowledged)
            outcome.errors += row_writer.errors
            outcome.lost = len(row_writer.lost())

    def row_writer(self) -> AbstractContextManager[RowWriter | None]:
        """Write rows during the scenario, if it checks them."""
        return writing_rows(self.testbed) if self.scenario.visited else nullcontext()

    def prepare(self) -> None:
        """Create the server as it is before the change."""
        self.testbed.write(self.scenario.before)
        self.testbed.expect(DONE, "apply")

    def start_over(self) -> None:
        """Delete everything: after an unexpected error the state is unknown."""
        if self._row_writer:
            self._row_writer.forget()
        self.testbed.remove()
        if not self.scenario.fresh:
            self.prepare()

    def points(self, moment: Moment) -> Iterator[Point]:
        """Fail one call after the other, until the change completes before the fault."""
        errors = 0
        for number in range(self.first, self._end, self.every):
            try:
                point = self.point(moment, number)
            except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
                told = self.testbed.describe_error(error)
                yield Point(f"call {number}", moment, (told,))
                errors += 1
                if errors == MAX_ERRORS:
                    return
                self.start_over()
                continue
            if point is None:
                self._end = number if self.every > 1 else MOST_CALLS
                return
            yield point
            if not point.call:
                return

    def point(self, moment: Moment, number: int) -> Point | None:
        """Fail one call and check; None if the change has fewer calls and succeeded."""
        change = next(self._changes)
        self.testbed.write(self.scenario.after(change))
        self.scenario.setup(self.testbed, change)
        ended, struck = self.strike(moment, number)
        late = long_leases(self.testbed)
        self.testbed.end_leases()
        if struck:
            return self.go_on(Point(struck, moment, late), ended)
        wrong = (*late, *self.wrong_end(ended, {self.scenario.code}))
        if self.scenario.again != self.scenario.command:
            wrong += self.wrong_end(self.testbed.run(*self.scenario.again), {DONE})
        wrong += self.check()
        return Point("", moment, wrong) if wrong else None

    def strike(self, moment: Moment, number: int) -> tuple[CommandResult, str]:
        """Apply with the fault at the call of this number; return that call."""
        numbers, mine, struck = itertools.count(1), threading.local(), []

        def here(when: Moment, call: str) -> Answer | None:
            if "/localfly/" in call:
                return None  # not a call of Fly's API
            if when is Moment.BEFORE:
                mine.number = next(numbers)
            at_once = Moment.BEFORE if moment is Moment.BEFORE else Moment.AFTER
            if mine.number != number or when is not at_once:
                return None
            struck.append(self.testbed.short(call))
            if moment is not Moment.LOST:
                self.testbed.commands.kill()
            return HANG_UP

        self.testbed.door.asked = lambda call: here(Moment.BEFORE, call)
        self.testbed.door.answered = lambda call: here(Moment.AFTER, call)
        self.testbed.begin(*self.scenario.command)
        ended = self.testbed.commands.finish()
        self.testbed.open_door()
        return ended, struck[0] if struck else ""

    def go_on(self, point: Point, ended: CommandResult) -> Point:
        """Apply again, and check the result."""
        ends = {self.scenario.code} if self.scenario.kept else {self.scenario.code, BAD_INPUT}
        wrong = point.faults
        if point.moment is Moment.LOST:
            wrong += self.wrong_end(ended, {DONE, 1, *ends})
        again = self.testbed.run(*self.scenario.again)
        wrong += self.wrong_end(again, ends)
        unaided = ended.code == self.scenario.code
        return Point(point.call, point.moment, (*wrong, *self.check()), unaided)

    def wrong_end(self, ended: CommandResult, codes: set[int]) -> tuple[str, ...]:
        """Return why the end of a command is wrong; empty if it is right."""
        return (
            *((f"ended with {ended.code}: {ended.last}",) if ended.code not in codes else ()),
            *(("a traceback",) if shows_traceback(ended.output) else ()),
        )

    def check(self) -> tuple[str, ...]:
        """Check the state, and prepare for the next point."""
        if not self.scenario.kept:
            self.testbed.write(self.scenario.before)
        stands = self.scenario.stands(self.testbed)
        found = (*stands, *self.scenario.check(self.testbed), *self.testbed.errors())
        if self.scenario.fresh:
            self.testbed.remove()
        elif self.scenario.back:
            self.testbed.write(self.scenario.before)
            self.testbed.expect(DONE, *self.scenario.back)
        return found
