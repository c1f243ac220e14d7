"""Two concurrent commands on one server: one wins, and the other waits or stops."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.commands import CommandResult
from chaos.invariants import faults
from chaos.row_writers import writing_rows
from chaos.scenarios import DONE, SLEEPLESS, settings
from chaos.storms import BROKEN, bad_end
from chaos.testbed import Fields, Testbed
from chaos.unexpected_errors import describe_error

LATEST_S = 1.5
Command = tuple[str, ...]
APPLY: Command = ("apply",)
SCALE: Command = ("scale", "--memory-mb", "768", "--until", "1h", "--reason", "a meeting")
_WAITS = re.compile(r"is being changed by .*")
_WHO = re.compile(r"is being changed by roost \w+ by \S.*, since \d{4}-\d\d-\d\dT[\d:]+(Z|\+00:00)")
"""What somebody who waits or stops is told: who holds it, why, and since when."""
BOTH, ONE, NONE = "both, one after the other", "one, the other stopped", "none"


@dataclass(frozen=True)
class PairResult:
    """The result of one round."""

    name: str
    seed: int
    end: str
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}, round {self.seed}: {'; '.join(self.faults)}"


@dataclass(frozen=True)
class Pair:
    """Two commands that run at once.

    Args:
        name: the name for reports.
        files: returns the two environment files of a round.
        commands: the two commands.
        fresh: whether the app does not exist before.
    """

    name: str
    files: Callable[[int], tuple[Fields, Fields]]
    commands: tuple[Command, Command] = (APPLY, APPLY)
    fresh: bool = False


def two_changes(n: int) -> tuple[Fields, Fields]:
    """Return two changes whose mixture can be detected."""
    return (
        {**settings(PREFECT_LOGGING_LEVEL=f"A{n}"), "machine": {"memory_mb": 512}},
        {**settings(PREFECT_LOGGING_LEVEL=f"B{n}"), "machine": {"memory_mb": 768}},
    )


def change_and_scaling(n: int) -> tuple[Fields, Fields]:
    """Return a changed file and the previous one, for a change during a temporary scaling."""
    before = settings(PREFECT_LOGGING_LEVEL=f"C{n - 1}")
    return settings(PREFECT_LOGGING_LEVEL=f"C{n}"), before


PAIRS = (
    Pair("two first deploys", lambda _: (SLEEPLESS, SLEEPLESS), fresh=True),
    Pair("two changes", two_changes),
    Pair("a change and a scaling", change_and_scaling, (APPLY, SCALE)),
    Pair("a scaling and a change", lambda n: change_and_scaling(n)[::-1], (SCALE, APPLY)),
)
SLEEP = "a change and sleep"


def run_pair(pair: Pair, testbeds: tuple[Testbed, Testbed], seed: int) -> PairResult:
    """Run the two commands, one a little after the other."""
    one, other = testbeds
    for testbed, fields in zip(testbeds, pair.files(seed), strict=True):
        testbed.write(fields)
    late = random.Random(seed).uniform(0, LATEST_S)
    one.begin(*pair.commands[0])
    time.sleep(late)
    other.begin(*pair.commands[1])
    ended = (one.commands.finish(), other.commands.finish())
    wrong = tuple(fault for end in ended for fault in (*bad_end(end), *nameless(end)))
    won = sum(end.code == DONE for end in ended)
    if won == 0:
        wrong += ("nobody won", *(end.last for end in ended))
    found = [faults(testbed) for testbed in testbeds]
    if all(found):
        wrong += (f"a mixture, {' | '.join('; '.join(one) for one in found)}",)
    wrong += calm(testbeds[pair.commands.index(APPLY)])
    if pair.fresh:
        one.remove()
    return PairResult(pair.name, seed, (NONE, ONE, BOTH)[won], wrong)


def nameless(ended: CommandResult) -> tuple[str, ...]:
    """Return outputs that name a lease without its owner, reason or time."""
    told = _WAITS.findall(ended.output)
    if "[fly-leased]" in ended.output and not told:
        return (f"stopped, and does not say for whom: {ended.last}",)
    return tuple(f"does not say who, since when and why: {t}" for t in told if not _WHO.search(t))


def calm(testbed: Testbed) -> tuple[str, ...]:
    """Apply alone and check; an earlier override is not a fault, and ends here."""
    again = testbed.run("apply")
    stopped = () if again.code == DONE else (f"then ended with {again.code}: {again.last}",)
    return (*stopped, *faults(testbed), *testbed.errors())


def play(
    name: str, seeds: range, meeting: Callable[[int], PairResult], bring_up: Callable[[], None]
) -> list[PairResult]:
    """Run one round for each seed; an unexpected error fails only its round."""
    met = list[PairResult]()
    for seed in seeds:
        try:
            if not met or met[-1].end == BROKEN:
                bring_up()
            met.append(meeting(seed))
        except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
            met.append(PairResult(name, seed, BROKEN, (describe_error(error),)))
    return met


def apply_during_suspends(testbed: Testbed, seed: int) -> PairResult:
    """Apply while the machine suspends itself repeatedly and requests wake it."""
    testbed.write(settings(PREFECT_LOGGING_LEVEL=f"S{seed}"))
    with (
        writing_rows(testbed) as row_writer,
        falling_asleep(testbed, random.Random(seed)) as errors,
    ):
        ended = testbed.run("apply")
    wrong = (*bad_end(ended), *calm(testbed), *row_writer.errors, *errors)
    lost = len(row_writer.lost())
    if lost:
        wrong += (f"{lost} rows lost",)
    return PairResult(SLEEP, seed, ONE if ended.code == DONE else NONE, wrong)


@contextmanager
def falling_asleep(testbed: Testbed, dice: random.Random) -> Iterator[list[str]]:
    """Suspend or stop the machine at intervals without a lease, as the machine itself does.

    Yields a list that has the errors at the end.
    """
    over, errors = threading.Event(), list[str]()

    def sleep() -> None:
        while not over.wait(dice.uniform(0.05, 0.6)):
            try:
                for machine in testbed.live().machines:
                    act = dice.choice(("suspend", "stop"))
                    path = f"/v1/apps/{testbed.app}/machines/{machine.id}/{act}"
                    testbed.daemon.client.post(path)
            except Exception as error:  # noqa: BLE001 - told as a fault; nobody else would see it
                errors.append(f"the machine's own sleep: {describe_error(error)}")
                return

    thread = threading.Thread(target=sleep)
    thread.start()
    try:
        yield errors
    finally:
        over.set()
        thread.join()
