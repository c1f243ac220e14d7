"""Two first applies at once, before there is a machine whose lease keeps one of them away.

One makes some calls, then the other makes some, then the first goes on to its end and the other
after it: for every number of calls of both before there is a machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import anyio
import httpx
import pytest
import stamina

from helpers import virtual_time
from helpers.applying import EveryName, Run, desired_of, plan_and_apply, plan_and_carry_out
from helpers.environments import POSTGRES
from helpers.fake_fly import FakeFly
from roost.errors import ChangedMeanwhileError, RoostError

ONE, OTHER = 0, 1
AWAKE = {"scaling": {"min_machines_running": 1}}
DEBUG = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}
SQLITE, SQLITE_DEBUG = desired_of(AWAKE), desired_of(AWAKE, DEBUG)
ON_POSTGRES, ON_POSTGRES_DEBUG = desired_of(POSTGRES), desired_of(POSTGRES, DEBUG)


class BlurredFly(FakeFly):
    """Makes all in one instant, under ids that run backwards: the order it was in is lost."""

    def _now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def _new(self, prefix: str) -> str:
        return f"{prefix}{9999 - int(super()._new('0')):04}"


@dataclass
class Table:
    """Where two take turns, call by call.

    Args:
        fly: the Fly of both.
        turns: whose call is next.
    """

    fly: FakeFly
    turns: Iterator[int]
    now: int = ONE
    ended: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turn()

    def turn(self) -> None:
        """Let the next one make a call."""
        self.now = next(self.turns)


@dataclass
class Player:
    """One of the two, between its client and Fly; alone, every turn is its own."""

    table: Table
    who: int
    scope: anyio.CancelScope | None = None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Make a call when it is our turn."""
        while self.table.now != self.who and not self.table.ended:  # noqa: ASYNC110 - a turn is no event
            await anyio.sleep(0.1)  # of virtual time
        answer = self.table.fly(request)
        self.table.turn()
        return answer


async def play(fly, turns, wanted):
    """Let two apply, each what it wants, and return how each went, and who ended when."""
    table = Table(fly, turns)
    runs = (Run(), Run())

    async def apply(who):
        try:
            await plan_and_carry_out(runs[who], fly, wanted[who], EveryName(), Player(table, who))
        except RoostError as error:
            runs[who].error = error
        finally:
            table.ended.append(who)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(apply, ONE)
        tasks.start_soon(apply, OTHER)
    return runs, table.ended


def turns(first: int, then: int) -> Iterator[int]:
    """Return whose turn it is: some of the one, some of the other, and the rest of the one."""
    return itertools.chain([ONE] * first, [OTHER] * then, itertools.repeat(ONE))


def goal_of(desired):
    """Return what a Fly becomes to which one applies alone, and its calls before there is a machine."""
    fly = FakeFly()
    assert plan_and_apply(fly, desired).error is None
    calls = [(ask.verb, ask.path[-1]) for ask in fly.asked]
    return fly.picture(), calls.index(("POST", "machines"))


@pytest.mark.parametrize(
    ("make_fly", "wanted"),
    [
        pytest.param(FakeFly, (SQLITE, SQLITE), id="one file"),
        pytest.param(BlurredFly, (SQLITE, SQLITE_DEBUG), id="two files, all in one instant"),
        pytest.param(FakeFly, (ON_POSTGRES, ON_POSTGRES_DEBUG), id="two files, on Postgres"),
    ],
)
def test_of_two_first_applies_one_is_done_or_none_and_nothing_is_doubled(make_fly, wanted):
    goals = [goal_of(desired)[0] for desired in wanted]
    _, calls = goal_of(wanted[ONE])
    ends = set()

    with stamina.set_testing(True, attempts=3, cap=True):
        for first, then in itertools.product(range(calls + 1), range(1, calls + 1)):
            fly = make_fly()

            runs, ended = virtual_time.run(play, fly, turns(first, then), wanted)

            where = f"{first} calls of one, {then} of the other"
            assert all(run.error is None or is_overtaken(run.error) for run in runs), where
            done = [who for who in ended if runs[who].error is None]
            if done:
                assert fly.picture() == goals[done[-1]], where
            assert len(fly.volumes) <= 1, where
            assert len(fly.ips) <= len(goals[ONE]["ips"]), where
            ends.add(len(done))
            fly.leave_leases()
            assert plan_and_apply(fly, wanted[ONE]).error is None, where
            assert fly.picture() == goals[ONE], where
    assert 1 in ends


def is_overtaken(error):
    """Return whether somebody stopped for the other, and is told what to do."""
    advice = ("run the same command again", "Plan again and look")
    return isinstance(error, ChangedMeanwhileError) and any(a in str(error) for a in advice)
