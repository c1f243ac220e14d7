"""Play scenarios in bad weather: each run ends done, rolled back, or stopped with what to do."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from chaos.api_faults import Storm
from chaos.commands import HUNG, Ended
from chaos.crashes import Play
from chaos.scenarios import DONE, ROLLED_BACK, Scenario
from chaos.testbed import Ground
from helpers.roost_command import shows_traceback

ENDS = {DONE: "done", ROLLED_BACK: "rolled back"}
STOPPED = "stopped"
BROKEN = "not played to its end"
_STOPPED_WELL = re.compile(r"^roost: error \[[a-z-]+\]: .+[.:)] \S.*$", re.MULTILINE)
"""Its word, what happened, and what to do."""


@dataclass(frozen=True)
class Weathered:
    """How a scenario fared in one storm, and what was wrong after it."""

    scenario: Scenario
    seed: int
    end: str
    troubles: int
    faults: tuple[str, ...]

    def __str__(self) -> str:
        what = "; ".join(self.faults)
        return f"{self.scenario.name}, storm {self.seed}: {self.end}, {what}"


@dataclass
class StormyPlay:
    """One scenario, storm after storm."""

    ground: Ground
    scenario: Scenario

    def run(self, seeds: range) -> list[Weathered]:
        """Play all storms."""
        play, weathered = Play(self.ground, self.scenario), list[Weathered]()
        for change, seed in enumerate(seeds, 1):
            storm = Storm(seed, self.ground.short)
            try:
                if change == 1 or weathered[-1].end == BROKEN:
                    play.start_over()
                weathered.append(self.weather(play, change, storm))
            except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
                wrong = (self.ground.tell_mishap(error),)
                troubles = len(storm.happened)
                weathered.append(Weathered(self.scenario, seed, BROKEN, troubles, wrong))
        return weathered

    def weather(self, play: Play, change: int, storm: Storm) -> Weathered:
        """Apply in a storm; then in calm, and look."""
        self.ground.write(self.scenario.after(change))
        self.scenario.setup(self.ground, change)
        self.ground.door.asked, self.ground.door.answered = storm.before, storm.after
        self.ground.begin(*self.scenario.command)
        ended = self.ground.commands.finish()
        self.ground.open_door()
        self.ground.end_leases()
        wrong = bad_end(ended)
        if self.scenario.kept and not self.scenario.undoes and ended.code == ROLLED_BACK:
            wrong += ("a good release was rolled back",)
        again = self.ground.run(*self.scenario.again)
        wrong += play.wrong_end(again, self.scenario.next_ends)
        end = ENDS.get(ended.code, STOPPED)
        troubles = len(storm.happened)
        return Weathered(self.scenario, storm.seed, end, troubles, (*wrong, *play.check()))


def bad_end(ended: Ended) -> tuple[str, ...]:
    """Return what a person would miss in how a command ended."""
    if ended.code == DONE:
        return ()
    said = (*(("a traceback",) if shows_traceback(ended.said) else ()),)
    if ended.code == HUNG:
        return (*said, f"did not end by itself: {ended.last}")
    if ended.code < 0:
        return (*said, f"ended by itself with {ended.code}: {ended.last}")
    if not _STOPPED_WELL.search(ended.said.strip()):
        return (*said, f"no sentence: {ended.last}")
    return said


def count_ends(all_of: list[Weathered]) -> Counter[str]:
    """Count how runs ended."""
    return Counter(weathered.end for weathered in all_of)
