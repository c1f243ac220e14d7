"""The watch over flow servers: whom it wakes, whose runs it ends, and when the server may sleep."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from helpers.flow_books import Scene, online, served
from helpers.waiting import until_soon
from roost_server import flow_server_book, flow_server_watch
from roost_server.due_runs import DeploymentName, WaitingRun
from roost_server.flow_server_book import ALIVE_S, FencedError
from roost_server.flow_server_wake import GIVE_UP_S, Waker
from roost_server.flow_server_watch import AHEAD_S, NEAR_S, ORPHAN_S, SILENT_S, FlowWatch
from roost_server.flow_servers import Caller
from roost_server.idle_suspend import AllWork
from roost_server.last_error import LAST_ERROR
from roost_server.missing_processes import GONE_S, PENDING_S, Missing
from roost_server.next_due import KEY, DueTimes, MachineMetadata
from roost_server.subflows import Orphan
from roost_server.untaken_runs import AGAIN_S, PATIENCE_S

B1 = Caller("nightly", "b1")
METADATA = f"/v1/apps/acme/machines/m1/metadata/{KEY}"


class World(Scene):
    """A watch whose database answers with what the test put there."""

    def __init__(self, monkeypatch, environ):
        super().__init__()
        self.waiting, self.active, self.reads = [], set(), 0
        self.orphans, self.pending = [], {}
        self.woken, self.settled, self.skipped = [], [], []
        self.is_open = True
        monkeypatch.setattr(flow_server_watch, "waiting_runs", self.read_waiting)
        monkeypatch.setattr(flow_server_watch, "active_runs", self.read_active)
        monkeypatch.setattr(flow_server_watch, "find_orphans", self.read_orphans)
        monkeypatch.setattr(flow_server_watch, "settle_runs", self.settle)
        monkeypatch.setattr(flow_server_watch, "pending_runs", self.read_pending)
        monkeypatch.setattr(flow_server_watch, "deployment_names", self.read_names)
        monkeypatch.setattr(LAST_ERROR, "hide", str)
        monkeypatch.setattr(flow_server_book, "settle_runs", self.settle)
        monkeypatch.setattr(flow_server_book, "skip_missed", self.skip)
        self.waker = Waker(lambda: self.clock.seconds, self.get, lambda: self.now)
        self.watch = FlowWatch(self.book, self.waker, lambda: self.is_open)
        self.due_times = DueTimes((self.watch,), (MachineMetadata(environ),), lambda: self.is_open)
        self.work = AllWork((self.watch, self.due_times))

    async def read_waiting(self, served, *, after=None, before=None, limit=1000):
        """Return waiting runs as the query does."""
        self.reads += 1
        found = [
            run
            for run in sorted(self.waiting, key=lambda run: run.at)
            if run.is_for(served)
            and (after is None or run.at > after)
            and (before is None or run.at <= before)
        ]
        return found[:limit]

    async def read_active(self, runs):
        """Return executed runs."""
        return self.active & set(runs)

    async def read_orphans(self, runs):
        """Return subflows whose parent ended."""
        return [each for each in self.orphans if {each.run, each.parent} & set(runs)]

    async def read_pending(self, runs):
        """Return Pending runs with their deployments."""
        return {run: self.pending[run] for run in self.pending.keys() & runs}

    async def read_names(self, deployments):
        """Return names."""
        return {each: DeploymentName("nightly", "load") for each in deployments if each}

    async def settle(self, runs, why, *, may_retry=True):  # noqa: ARG002 - as the real one
        """Note who was settled; it ends."""
        self.settled.append((sorted(runs), why))
        self.active -= set(runs)
        for run in runs:
            self.pending.pop(run, None)

    async def skip(self, *_):
        """Note when."""
        self.skipped.append(self.now)

    async def get(self, address):
        """Answer as an address that wakes."""
        self.woken.append(address)
        return 200

    def put(self, due_s, run="run", **more):
        """Add a run that is due in `due_s` seconds."""
        at = datetime.fromtimestamp(self.now, UTC) + timedelta(seconds=due_s)
        self.waiting.append(WaitingRun(run, at, **({"deployment": "d"} | more)))

    async def begin(self):
        """Bring a start online that works for a deployment and a pool."""
        await self.book.load()
        await self.book.come_online("nightly", online())
        await self.book.poll(B1, served(["d"], ["pool"]))
        self.reads = 0

    async def look(self):
        """Look once, and let the requests go out."""
        await self.watch.look()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
def world(monkeypatch, machine_api):
    return World(monkeypatch, machine_api.environ)


def play(world, act):
    async def whole():
        await world.begin()
        return await act()

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("due_s", "more", "woken"),
    [
        pytest.param(-1, {}, 1, id="overdue"),
        pytest.param(AHEAD_S - 1, {}, 1, id="nearly due"),
        pytest.param(AHEAD_S + 1, {}, 0, id="later"),
        pytest.param(-1, {"deployment": None, "pool": "pool"}, 1, id="of its pool"),
        pytest.param(-1, {"deployment": "other"}, 0, id="of somebody else"),
    ],
)
def test_a_due_run_wakes_who_executes_it(world, due_s, more, woken):
    async def act():
        world.pass_time(ALIVE_S + 1)
        world.put(due_s, **more)
        await world.look()

    play(world, act)

    assert len(world.woken) == woken


@pytest.mark.parametrize(
    ("deployment", "rested_s", "is_open", "woken"),
    [
        ("d", ALIVE_S + 1, True, 1),
        ("e", ALIVE_S + 1, True, 0),
        ("d", 0, True, 0),
        ("d", ALIVE_S + 1, False, 0),
    ],
    ids=["asleep", "of nobody", "awake", "closed"],
)
def test_a_run_that_is_being_created_wakes_who_sleeps(world, deployment, rested_s, is_open, woken):
    async def act():
        world.pass_time(rested_s)
        world.is_open = is_open
        world.watch.expect(deployment)
        await asyncio.sleep(0)

    play(world, act)

    assert len(world.woken) == woken


def test_a_flow_server_that_asks_for_work_needs_no_wake(world):
    async def act():
        world.put(-1)
        await world.look()
        await world.book.drain("nightly", draining=True)
        before = list(world.woken)
        await world.look()
        return before

    assert play(world, act) == []
    assert len(world.woken) == 1


def test_missed_runs_are_skipped_while_it_wakes(world):
    async def act():
        world.pass_time(4000)
        world.skipped.clear()
        world.put(-3600, "a")
        await world.look()
        alone = list(world.skipped)
        world.put(-1800, "b")
        await world.look()
        return alone

    assert play(world, act) == []
    assert world.skipped == [world.now]


def test_the_runs_of_a_boot_that_is_silent_for_ten_awake_minutes_are_ended(world):
    async def act():
        await world.book.claim(B1, "run")
        world.active = {"run"}
        world.pass_time(SILENT_S - 10)
        await world.look()
        awake = world.work.stays_awake()
        world.now += 86_400  # a suspend
        await world.look()
        early = list(world.settled)
        world.pass_time(20)
        await world.look()
        return early, awake

    early, awake = play(world, act)

    assert early == []
    assert awake == "flow server nightly executes the run run"
    [(runs, why)] = world.settled
    assert (runs, why[:43]) == (["run"], "flow server nightly was not seen any more, ")
    assert world.book.servers["nightly"].fenced == ("b1",)


def test_a_boot_that_executes_nothing_may_be_silent(world):
    async def act():
        await world.book.claim(B1, "run")
        await world.look()  # the run ended
        world.pass_time(10 * SILENT_S)
        await world.look()

    play(world, act)

    assert world.settled == []
    assert world.book.servers["nightly"].fenced == ()
    assert world.book.servers["nightly"].runs == {}


def test_what_could_not_be_settled_is_settled_at_the_next_look(world, monkeypatch):
    async def fail(*_, **__):
        raise OSError("the database is away")

    async def act():
        await world.book.claim(B1, "run")
        with monkeypatch.context() as patch:
            patch.setattr(flow_server_book, "settle_runs", fail)
            with pytest.raises(OSError, match="away"):
                await world.book.come_online("nightly", online("b2"))
        await world.look()

    world.active = {"run"}
    play(world, act)

    assert [runs for runs, _ in world.settled] == [["run"]]


@pytest.mark.parametrize(
    ("due_s", "awake"),
    [(NEAR_S - 1, True), (NEAR_S + 30, False), (-30, True)],
    ids=["soon", "later", "overdue"],
)
def test_what_is_due_sooner_than_a_sleep_is_worth_keeps_it_awake(world, due_s, awake):
    async def act():
        world.put(due_s)
        await world.look()
        return world.work.stays_awake(), await world.work.prepare_sleep()

    why, may_sleep = play(world, act)

    assert (bool(why), may_sleep) == (awake, not awake)


async def keep_waking(world, seconds):
    """Let time pass in which the watch looks, and its requests to wake are answered."""
    while seconds > 0:
        world.pass_time(10)
        seconds -= 10
        await world.look()


def test_a_flow_server_that_never_wakes_keeps_nobody_awake_for_ever(world, machine_api):
    async def act():
        world.pass_time(ALIVE_S + 1)
        world.put(-1)
        world.put(7200, "next")
        await world.look()
        await keep_waking(world, GIVE_UP_S - 10)
        waited = await world.work.prepare_sleep()
        world.pass_time(20)
        await world.look()
        return waited, await world.work.prepare_sleep()

    assert play(world, act) == (False, True)
    # The run that nobody takes would wake the server again and again.
    told = json.loads(machine_api.bodies[-1]["value"])
    assert datetime.fromisoformat(told["at"]) == world.waiting[1].at


async def be_there(world, seconds):
    """Let a flow server ask for work all the time, and the watch look as often as it does."""
    while seconds > 0:
        world.pass_time(10)
        seconds -= 10
        await world.book.poll(B1, served(["d"], ["pool"]))
        await world.watch.look()


def test_a_run_that_an_awake_flow_server_never_takes_keeps_nobody_awake(world, machine_api, capsys):
    async def act():
        world.put(-1, "held")
        await be_there(world, PATIENCE_S - 20)
        awake = world.watch.stays_awake()
        await be_there(world, 30)
        world.put(7200, "next")
        may_sleep = await world.work.prepare_sleep()
        world.pass_time(ALIVE_S + 1)  # the flow server sleeps
        await world.look()
        return awake, may_sleep

    awake, may_sleep = play(world, act)

    assert awake
    assert may_sleep
    assert world.woken == []
    told = json.loads(machine_api.bodies[-1]["value"])
    assert datetime.fromisoformat(told["at"]) == world.waiting[-1].at
    assert set(world.records.rows["nightly"]["untaken"]) == {"held"}
    assert "does not take the run held" in capsys.readouterr().out


def test_while_it_sleeps_or_executes_a_run_it_can_take_none(world):
    async def act():
        world.put(-1, "waits")
        await world.book.claim(B1, "run")
        world.active = {"run"}
        await be_there(world, PATIENCE_S + 20)
        world.active = set()
        await world.book.drain("nightly", draining=True)
        world.pass_time(PATIENCE_S + 20)
        await world.look()
        return world.book.servers["nightly"].untaken

    assert play(world, act) == {}
    assert world.woken


def test_a_change_of_what_holds_a_run_has_it_waited_for_again(world):
    async def act():
        world.put(-1, "held")
        await be_there(world, PATIENCE_S + 20)
        world.pass_time(ALIVE_S + 1)
        await world.look()
        before = list(world.woken)
        world.watch.try_again()
        await world.look()
        awake = world.watch.stays_awake()
        await be_there(world, AGAIN_S + 20)
        return before, awake, world.watch.stays_awake()

    before, awake, after = play(world, act)

    assert before == []
    assert awake
    assert len(world.woken) == 1
    assert after is None


def test_the_end_of_a_run_on_another_flow_server_has_untaken_runs_waited_for_again(world):
    """It may have held the one slot of their pool."""

    async def act():
        weekly = Caller("weekly", "w1")
        await world.book.come_online("weekly", online("w1"))
        await world.book.claim(weekly, "long")
        world.active = {"long"}
        world.put(-1, "held")
        for _ in range(int(PATIENCE_S / 100) + 1):
            await be_there(world, 100)
            world.book.check(weekly)
        untaken = dict(world.book.servers["nightly"].untaken)
        world.active = set()
        await world.look()
        return untaken, world.watch.stays_awake()

    untaken, awake = play(world, act)

    assert untaken.keys() == {"held"}
    assert "the run held" in awake


def orphan(world, *, ended_s, run="child", parent="parent"):
    at = datetime.fromtimestamp(world.now, UTC) + timedelta(seconds=ended_s)
    return Orphan(run, parent, at)


@pytest.mark.parametrize("claimed", ["child", "parent"])
def test_a_subflow_whose_parent_ended_without_it_is_ended_and_nobody_stays_awake(world, claimed):
    """Its process was killed, and Prefect's runner reported only the run that it had started."""

    async def act():
        await world.book.claim(B1, claimed)
        world.active = {"child"} & {claimed}
        world.orphans = [orphan(world, ended_s=0)]
        await world.look()
        awake, early = world.watch.stays_awake(), list(world.settled)
        world.pass_time(ORPHAN_S + 2)
        await world.look()
        world.active, world.orphans = set(), []
        await world.look()
        return awake, early, world.watch.stays_awake()

    awake, early, after = play(world, act)

    assert awake
    assert early == []
    assert [runs for runs, _ in world.settled] == [["child"]]
    assert "the run parent ended" in world.settled[0][1]
    assert after is None
    assert world.book.servers["nightly"].runs == {}


async def say(world, seconds, gone=(), unseen=()):
    """Let a launcher say for some time which runs have no process."""
    while seconds > 0:
        world.pass_time(10)
        seconds -= 10
        with suppress(FencedError):
            world.book.check(B1)
        world.book.note_missing(B1, Missing(frozenset(gone), frozenset(unseen)))
        await world.watch.look()


def test_a_run_whose_process_is_gone_is_ended_though_its_flow_server_is_there(world):
    async def act():
        for run in ("gone", "there"):
            await world.book.claim(B1, run)
        world.active = {"gone", "there"}
        await say(world, GONE_S, ["gone"])
        early = list(world.settled)
        await say(world, 20, ["gone"])
        return early

    assert play(world, act) == []
    [(runs, why)] = world.settled
    assert (runs, why) == (["gone"], "the process of this run on nightly is gone")
    assert set(world.book.servers["nightly"].runs) == {"there"}


def test_a_pending_run_may_wait_longer_for_its_process_and_one_of_a_pool_for_ever(world):
    """A worker may start flows on other machines, where this launcher sees no process."""

    async def act():
        world.pending = {"again": "d", "served": "d", "pooled": "e"}
        world.active = set(world.pending)
        for run in world.pending:
            await world.book.claim(B1, run)
        await say(world, PENDING_S, ["again"], ["served", "pooled"])
        early = list(world.settled)
        await say(world, 20, ["again"], ["served", "pooled"])
        return early

    assert play(world, act) == []
    assert [runs for runs, _ in world.settled] == [["again", "served"]]


def test_what_an_earlier_boot_says_is_not_heard(world):
    async def act():
        await world.book.claim(B1, "run")
        world.active = {"run"}
        await world.book.come_online("nightly", online("b2"))
        world.settled.clear()
        await world.book.claim(Caller("nightly", "b2"), "run")
        await say(world, GONE_S + 20, ["run"])

    play(world, act)

    assert world.settled == []


def test_the_next_due_time_is_left_before_a_sleep_and_removed_when_there_is_none(
    world, machine_api
):
    async def act():
        world.put(7200)
        found = [await world.work.prepare_sleep()]
        world.waiting.clear()
        return [*found, await world.work.prepare_sleep()]

    assert play(world, act) == [True, True]
    assert machine_api.asked[-2:] == [("POST", METADATA), ("DELETE", METADATA)]
    told = json.loads(machine_api.bodies[-1]["value"])
    assert told == {
        "at": "1970-01-12T15:46:40+00:00",
        "flow_server": "nightly",
        "deployment": "load/nightly",
    }


def test_a_refused_entry_is_logged_and_the_server_sleeps(world, machine_api, says, capsys):
    machine_api.answers = [says(403)]

    async def act():
        world.put(7200)
        return await world.work.prepare_sleep()

    assert play(world, act)
    assert f"cannot write {KEY}" in capsys.readouterr().out


def test_a_server_that_cannot_look_sleeps_anyway(world, capsys, monkeypatch):
    async def fail(*_, **__):
        raise OSError("the database is away")

    async def act():
        monkeypatch.setattr(flow_server_watch, "waiting_runs", fail)
        return await world.work.prepare_sleep()

    assert play(world, act)
    assert "the watch of flow servers failed (OSError: the database is away)" in (
        capsys.readouterr().out
    )


def test_without_a_flow_server_nothing_is_read_or_written(world, machine_api):
    async def act():
        watching = asyncio.create_task(world.watch.run())
        for _ in range(20):
            world.watch.nudge()
            await asyncio.sleep(0)
        found = world.work.stays_awake(), await world.work.prepare_sleep()
        watching.cancel()
        return found

    assert asyncio.run(act()) == (None, True)
    assert (world.records.loads, world.reads, machine_api.asked) == (1, 0, [])


def test_the_watch_rests_in_maintenance_mode(world):
    async def act():
        world.pass_time(ALIVE_S + 1)
        world.put(-1)
        world.is_open = False
        watching = asyncio.create_task(world.watch.run())
        for _ in range(20):
            await asyncio.sleep(0)
        found = world.work.stays_awake(), await world.work.prepare_sleep(), world.reads
        world.is_open = True
        world.watch.nudge()
        await until_soon(lambda: world.woken)
        watching.cancel()
        return found

    assert play(world, act) == (None, True, 0)


def test_the_watch_goes_on_after_a_failure(world, monkeypatch, capsys):
    real = world.read_waiting
    monkeypatch.setattr(flow_server_watch, "AFTER_FAILURE_S", 0.01)

    async def fail_once(*_, **__):
        monkeypatch.setattr(flow_server_watch, "waiting_runs", real)
        raise OSError("the database is away")

    async def act():
        world.pass_time(ALIVE_S + 1)
        world.put(-1)
        monkeypatch.setattr(flow_server_watch, "waiting_runs", fail_once)
        watching = asyncio.create_task(world.watch.run())
        await until_soon(lambda: world.woken)
        watching.cancel()

    play(world, act)

    assert capsys.readouterr().out.count("the database is away") == 1
