"""Two who act on one server at once: one wins, the other waits or stops, and nothing is mixed."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.commands import Ended
from chaos.invariants import faults
from chaos.row_writers import visiting
from chaos.scenarios import DONE, SLEEPLESS, settings
from chaos.storms import BROKEN, bad_end
from chaos.testbed import Fields, Ground
from chaos.unexpected_errors import tell_mishap

LATEST_S = 1.5
Command = tuple[str, ...]
APPLY: Command = ("apply",)
SCALE: Command = ("scale", "--memory-mb", "768", "--until", "1h", "--reason", "a meeting")
_WAITS = re.compile(r"is being changed by .*")
_WHO = re.compile(r"is being changed by roost \w+ by \S.*, since \d{4}-\d\d-\d\dT[\d:]+(Z|\+00:00)")
"""What somebody who waits or stops is told: who holds it, why, and since when."""
BOTH, ONE, NONE = "both, one after the other", "one, the other stopped", "none"


@dataclass(frozen=True)
class Met:
    """How one round went."""

    name: str
    seed: int
    end: str
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}, round {self.seed}: {'; '.join(self.faults)}"


@dataclass(frozen=True)
class Pair:
    """Two who meet.

    Args:
        name: what people call it.
        files: the files of the two, in the round of that number.
        commands: what each of the two runs.
        fresh: whether there is no app before.
    """

    name: str
    files: Callable[[int], tuple[Fields, Fields]]
    commands: tuple[Command, Command] = (APPLY, APPLY)
    fresh: bool = False


def two_changes(n: int) -> tuple[Fields, Fields]:
    """Return two changes that a mixture would show of."""
    return (
        {**settings(PREFECT_LOGGING_LEVEL=f"A{n}"), "machine": {"memory_mb": 512}},
        {**settings(PREFECT_LOGGING_LEVEL=f"B{n}"), "machine": {"memory_mb": 768}},
    )


def change_and_scaling(n: int) -> tuple[Fields, Fields]:
    """Return a change of the file, and the file of before, beside which somebody scales for a time."""
    before = settings(PREFECT_LOGGING_LEVEL=f"C{n - 1}")
    return settings(PREFECT_LOGGING_LEVEL=f"C{n}"), before


PAIRS = (
    Pair("two first deploys", lambda _: (SLEEPLESS, SLEEPLESS), fresh=True),
    Pair("two changes", two_changes),
    Pair("a change and a scaling", change_and_scaling, (APPLY, SCALE)),
    Pair("a scaling and a change", lambda n: change_and_scaling(n)[::-1], (SCALE, APPLY)),
)
SLEEP = "a change and sleep"


def meet(pair: Pair, grounds: tuple[Ground, Ground], seed: int) -> Met:
    """Let the two act, one a little after the other."""
    one, other = grounds
    for ground, fields in zip(grounds, pair.files(seed), strict=True):
        ground.write(fields)
    late = random.Random(seed).uniform(0, LATEST_S)
    one.begin(*pair.commands[0])
    time.sleep(late)
    other.begin(*pair.commands[1])
    ended = (one.commands.finish(), other.commands.finish())
    wrong = tuple(fault for end in ended for fault in (*bad_end(end), *nameless(end)))
    won = sum(end.code == DONE for end in ended)
    if won == 0:
        wrong += ("nobody won", *(end.last for end in ended))
    found = [faults(ground) for ground in grounds]
    if all(found):
        wrong += (f"a mixture, {' | '.join('; '.join(one) for one in found)}",)
    wrong += calm(grounds[pair.commands.index(APPLY)])
    if pair.fresh:
        one.remove()
    return Met(pair.name, seed, (NONE, ONE, BOTH)[won], wrong)


def nameless(ended: Ended) -> tuple[str, ...]:
    """Return where somebody waited or stopped for a lease, and was not told whose, why or since when."""
    told = _WAITS.findall(ended.said)
    if "[fly-leased]" in ended.said and not told:
        return (f"stopped, and does not say for whom: {ended.last}",)
    return tuple(f"does not say who, since when and why: {t}" for t in told if not _WHO.search(t))


def calm(ground: Ground) -> tuple[str, ...]:
    """Apply alone, and look; an override of before is no fault, and ends here."""
    again = ground.run("apply")
    stopped = () if again.code == DONE else (f"then ended with {again.code}: {again.last}",)
    return (*stopped, *faults(ground), *ground.mishaps())


def play(
    name: str, seeds: range, meeting: Callable[[int], Met], bring_up: Callable[[], None]
) -> list[Met]:
    """Play a round a seed; what nobody expects is the round's fault, and the next one is played."""
    met = list[Met]()
    for seed in seeds:
        try:
            if not met or met[-1].end == BROKEN:
                bring_up()
            met.append(meeting(seed))
        except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
            met.append(Met(name, seed, BROKEN, (tell_mishap(error),)))
    return met


def meet_sleep(ground: Ground, seed: int) -> Met:
    """Apply while the machine puts itself to sleep again and again, and visitors wake it."""
    ground.write(settings(PREFECT_LOGGING_LEVEL=f"S{seed}"))
    with visiting(ground) as visitors, falling_asleep(ground, random.Random(seed)) as mishaps:
        ended = ground.run("apply")
    wrong = (*bad_end(ended), *calm(ground), *visitors.mishaps, *mishaps)
    lost = len(visitors.lost())
    if lost:
        wrong += (f"{lost} rows lost",)
    return Met(SLEEP, seed, ONE if ended.code == DONE else NONE, wrong)


@contextmanager
def falling_asleep(ground: Ground, dice: random.Random) -> Iterator[list[str]]:
    """Suspend or stop the machine now and then, as it does itself: without anybody's lease.

    Gives what went wrong with that, which is known at the end.
    """
    over, mishaps = threading.Event(), list[str]()

    def sleep() -> None:
        while not over.wait(dice.uniform(0.05, 0.6)):
            try:
                for machine in ground.live().machines:
                    act = dice.choice(("suspend", "stop"))
                    path = f"/v1/apps/{ground.app}/machines/{machine.id}/{act}"
                    ground.daemon.client.post(path)
            except Exception as error:  # noqa: BLE001 - told as a fault; nobody else would see it
                mishaps.append(f"the machine's own sleep: {tell_mishap(error)}")
                return

    thread = threading.Thread(target=sleep)
    thread.start()
    try:
        yield mishaps
    finally:
        over.set()
        thread.join()
