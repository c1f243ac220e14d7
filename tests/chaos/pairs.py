"""Two who act on one server at once: one wins, the other waits or stops, and nothing is mixed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.commands import Ended
from chaos.ground import Fields, Ground
from chaos.scenarios import DONE, SLEEPLESS, settings
from chaos.standing import faults
from chaos.storms import bad_end
from chaos.visitors import visiting

LATEST_S = 1.5
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
        fresh: whether there is no app before.
    """

    name: str
    files: Callable[[int], tuple[Fields, Fields]]
    fresh: bool = False


def two_changes(n: int) -> tuple[Fields, Fields]:
    """Give two changes that a mixture would show of."""
    return (
        {**settings(PREFECT_LOGGING_LEVEL=f"A{n}"), "machine": {"memory_mb": 512}},
        {**settings(PREFECT_LOGGING_LEVEL=f"B{n}"), "machine": {"memory_mb": 768}},
    )


PAIRS = (
    Pair("two first deploys", lambda _: (SLEEPLESS, SLEEPLESS), fresh=True),
    Pair("two changes", two_changes),
)


def meet(pair: Pair, grounds: tuple[Ground, Ground], seed: int) -> Met:
    """Let the two apply, one a little after the other."""
    one, other = grounds
    for ground, fields in zip(grounds, pair.files(seed), strict=True):
        ground.write(fields)
    late = random.Random(seed).uniform(0, LATEST_S)
    one.begin("apply")
    time.sleep(late)
    other.begin("apply")
    ended = (one.commands.finish(), other.commands.finish())
    wrong = tuple(fault for end in ended for fault in bad_end(end))
    won = sum(end.code == DONE for end in ended)
    if won == 0:
        wrong += ("nobody won", *(last_line(end) for end in ended))
    if all(faults(ground) for ground in grounds):
        wrong += ("a mixture",)
    wrong += calm(one)
    if pair.fresh:
        one.remove()
    return Met(pair.name, seed, (NONE, ONE, BOTH)[won], wrong)


def calm(ground: Ground) -> tuple[str, ...]:
    """Apply alone, and look."""
    again = ground.run("apply")
    stopped = () if again.code == DONE else (f"then ended with {again.code}: {last_line(again)}",)
    return (*stopped, *faults(ground))


def last_line(ended: Ended) -> str:
    """Give the last thing a command said."""
    return (ended.said.strip().splitlines() or [""])[-1]


def meet_sleep(ground: Ground, seed: int) -> Met:
    """Apply while the machine puts itself to sleep again and again, and visitors wake it."""
    ground.write(settings(PREFECT_LOGGING_LEVEL=f"S{seed}"))
    with visiting(ground) as visitors, falling_asleep(ground, random.Random(seed)):
        ended = ground.run("apply")
    wrong = (*bad_end(ended), *calm(ground))
    lost = len(visitors.lost())
    if lost:
        wrong += (f"{lost} rows lost",)
    return Met("a change and sleep", seed, ONE if ended.code == DONE else NONE, wrong)


@contextmanager
def falling_asleep(ground: Ground, dice: random.Random) -> Iterator[None]:
    """Suspend or stop the machine now and then, as it does itself: without anybody's lease."""
    over = threading.Event()

    def sleep() -> None:
        while not over.wait(dice.uniform(0.05, 0.6)):
            for machine in ground.live().machines:
                act = dice.choice(("suspend", "stop"))
                path = f"/v1/apps/{ground.app}/machines/{machine.id}/{act}"
                ground.daemon.client.post(path)

    thread = threading.Thread(target=sleep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
