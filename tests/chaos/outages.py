"""Permanent outages: from one call on, nothing of Fly's API works.

A command must then end within its limits, and say what to do. Its retries of a call are limited to
seconds here; the unit tests have the real limits, in virtual time.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.api_faults import refused
from chaos.crashes import CrashRun
from chaos.scenarios import Scenario
from chaos.storms import BROKEN, ENDS, STOPPED, bad_end
from chaos.testbed import Testbed
from helpers.api_door import HANG_UP, Answer

CLOCKS = {"deadline_s": 6.0, "timeout_s": 2.0}
SILENT_S = 2 * CLOCKS["timeout_s"]
LONGEST_S = 60.0
"""From the first call that fails to the end: the call, the lease that is lost, the giving back, and what
is tried in between, under load."""
LATEST = 24
"""The outage begins at one of so many calls; with fewer calls than that it does not happen."""


def silence() -> Answer:
    """Send no response for longer than any client waits."""
    time.sleep(SILENT_S)
    return HANG_UP


KINDS: dict[str, Callable[[], Answer]] = {
    "no connection lives": lambda: HANG_UP,
    "nobody answers": silence,
    "503": lambda: refused(503, "unavailable"),
    "429, wait a minute": lambda: refused(429, "rate limit exceeded", **{"Retry-After": "60"}),
    "401": lambda: refused(401, "unauthorized: token expired"),
    "an answer without its end": lambda: Answer(200, b"{", length=1000),
}


@dataclass(frozen=True)
class OutageResult:
    """The result of a command during an outage."""

    scenario: Scenario
    kind: str
    end: str
    seconds: float
    faults: tuple[str, ...]

    def __str__(self) -> str:
        what = "; ".join(self.faults)
        return f"{self.scenario.name}, {self.kind}: {self.end} after {self.seconds:.0f} s, {what}"


@dataclass
class OutageRun:
    """One scenario with one kind of outage after the other, each from another call on."""

    testbed: Testbed
    scenario: Scenario
    seed: int
    longest_s: float = LONGEST_S

    def run(self, count: int) -> list[OutageResult]:
        """Run this many kinds of outages, chosen by seed and scenario."""
        play, cuts, kinds = CrashRun(self.testbed, self.scenario), list[OutageResult](), list(KINDS)
        first = random.Random(f"{self.seed} {self.scenario.name}").randrange(len(kinds))
        for change, kind in enumerate((kinds[first:] + kinds[:first])[:count], 1):
            try:
                if change == 1 or cuts[-1].end == BROKEN:
                    play.start_over()
                cuts.append(self.cut(play, change, kind))
            except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
                wrong = (self.testbed.describe_error(error),)
                cuts.append(OutageResult(self.scenario, kind, BROKEN, 0.0, wrong))
        return cuts

    def cut(self, play: CrashRun, change: int, kind: str) -> OutageResult:
        """Apply with an outage from one call on; then end the outage and check."""
        first = random.Random(f"{self.seed} {self.scenario.name} {kind}").randrange(1, LATEST)
        numbers, began, lock = itertools.count(1), list[float](), threading.Lock()

        def asked(call: str) -> Answer | None:
            if "/localfly/" in call:
                return None  # not a call of Fly's API
            with lock:
                if next(numbers) < first:
                    return None
                began.append(time.monotonic())
            return KINDS[kind]()

        self.testbed.write(self.scenario.after(change))
        self.scenario.setup(self.testbed, change)
        self.testbed.door.asked = asked
        self.testbed.commands.clocks = CLOCKS
        self.testbed.begin(*self.scenario.command)
        ended = self.testbed.commands.finish()
        seconds = time.monotonic() - began[0] if began else 0.0
        self.testbed.commands.clocks = {}
        self.testbed.open_door()
        self.testbed.end_leases()
        wrong = bad_end(ended)
        if seconds > self.longest_s:
            wrong += (f"went on for {seconds:.0f} s",)
        again = self.testbed.run(*self.scenario.again)
        wrong += play.wrong_end(again, self.scenario.next_ends)
        end = ENDS.get(ended.code, STOPPED)
        return OutageResult(self.scenario, kind, end, seconds, (*wrong, *play.check()))
