"""Run scenarios with random API faults: each completes, rolls back, or stops with advice."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from chaos.api_faults import Storm
from chaos.commands import HUNG, CommandResult
from chaos.crashes import CrashRun
from chaos.scenarios import DONE, ROLLED_BACK, Scenario
from chaos.testbed import Testbed
from helpers.roost_command import shows_traceback

ENDS = {DONE: "done", ROLLED_BACK: "rolled back"}
STOPPED = "stopped"
BROKEN = "not played to its end"
_STOPPED_WELL = re.compile(r"^roost: error \[[a-z-]+\]: .+[.:)] \S.*$", re.MULTILINE)
"""Its word, what happened, and what to do."""


@dataclass(frozen=True)
class StormResult:
    """The result of a scenario with one series of faults."""

    scenario: Scenario
    seed: int
    end: str
    troubles: int
    faults: tuple[str, ...]

    def __str__(self) -> str:
        what = "; ".join(self.faults)
        return f"{self.scenario.name}, storm {self.seed}: {self.end}, {what}"


@dataclass
class StormRun:
    """One scenario with one series of faults after the other."""

    testbed: Testbed
    scenario: Scenario

    def run(self, seeds: range) -> list[StormResult]:
        """Run all series of faults."""
        play, results = CrashRun(self.testbed, self.scenario), list[StormResult]()
        for change, seed in enumerate(seeds, 1):
            storm = Storm(seed, self.testbed.short)
            try:
                if change == 1 or results[-1].end == BROKEN:
                    play.start_over()
                results.append(self.weather(play, change, storm))
            except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
                wrong = (self.testbed.describe_error(error),)
                troubles = len(storm.happened)
                results.append(StormResult(self.scenario, seed, BROKEN, troubles, wrong))
        return results

    def weather(self, play: CrashRun, change: int, storm: Storm) -> StormResult:
        """Apply with faults; then without, and check."""
        self.testbed.write(self.scenario.after(change))
        self.scenario.setup(self.testbed, change)
        self.testbed.door.asked, self.testbed.door.answered = storm.before, storm.after
        self.testbed.begin(*self.scenario.command)
        ended = self.testbed.commands.finish()
        self.testbed.open_door()
        self.testbed.end_leases()
        wrong = bad_end(ended)
        if self.scenario.kept and not self.scenario.undoes and ended.code == ROLLED_BACK:
            wrong += ("a good release was rolled back",)
        again = self.testbed.run(*self.scenario.again)
        wrong += play.wrong_end(again, self.scenario.next_ends)
        end = ENDS.get(ended.code, STOPPED)
        troubles = len(storm.happened)
        return StormResult(self.scenario, storm.seed, end, troubles, (*wrong, *play.check()))


def bad_end(ended: CommandResult) -> tuple[str, ...]:
    """Return what is missing in the output of a command."""
    if ended.code == DONE:
        return ()
    said = (*(("a traceback",) if shows_traceback(ended.output) else ()),)
    if ended.code == HUNG:
        return (*said, f"did not end by itself: {ended.last}")
    if ended.code < 0:
        return (*said, f"ended by itself with {ended.code}: {ended.last}")
    if not _STOPPED_WELL.search(ended.output.strip()):
        return (*said, f"no sentence: {ended.last}")
    return said


def count_ends(all_of: list[StormResult]) -> Counter[str]:
    """Return how many runs ended in which way."""
    return Counter(results.end for results in all_of)
