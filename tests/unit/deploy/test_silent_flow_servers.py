"""A flow server that is started and asks for no work: it is given up, and tried again now and then."""

from __future__ import annotations

from itertools import count, islice

import pytest

from helpers.flow_books import online, served
from roost_server.flow_server_book import ALIVE_S
from roost_server.flow_server_wake import GIVE_UP_S
from roost_server.flow_servers import Caller
from roost_server.silent_flow_servers import AGAIN_S
from unit.deploy.test_flow_server_watch import B1, World, play

NONE_END = iter(())


@pytest.fixture
def world(monkeypatch, machine_api):
    return World(monkeypatch, machine_api.environ)


async def hang(world, seconds, boots=NONE_END):
    """Let a flow server that is woken run a command that asks for no work, as its launcher sees it.

    Args:
        world: the watch.
        seconds: for how long.
        boots: of starts that come online, one after each wake, because the command ended.
    """
    while seconds > 0:
        before = len(world.woken)
        world.pass_time(30)
        seconds -= 30
        await world.look()
        if len(world.woken) > before:
            for boot in islice(boots, 1):
                await world.book.come_online("nightly", online(boot))
            world.book.check(Caller("nightly", world.book.servers["nightly"].boot))
            await world.book.drain("nightly", draining=False)  # as its launcher does after a wake


@pytest.fixture
def silent(world):
    """Return what plays a scene after a flow server was given up for an overdue run."""

    def after(act, boots=NONE_END):
        async def whole():
            world.pass_time(ALIVE_S + 1)
            world.put(-1)
            await hang(world, GIVE_UP_S + 120, boots)
            world.woken.clear()
            return await act()

        return play(world, whole)

    return after


def test_a_command_that_asks_for_no_work_is_given_up_although_its_launcher_is_there(
    world, silent, capsys
):
    async def act():
        world.put(600, "next")
        ends = world.book.servers["nightly"].gave_up_at + AGAIN_S
        may_sleep = await world.work.prepare_sleep()
        due = (await world.watch.next_due()).at
        await hang(world, AGAIN_S - 300)
        early = list(world.woken)
        await hang(world, 300)
        return early, may_sleep, due.timestamp() - ends

    early, may_sleep, after_s = silent(act)

    assert (early, may_sleep) == ([], True)
    assert len(world.woken) == 1  # an hour later, once
    assert after_s == 0  # this server is woken for it no sooner than that either
    assert (
        capsys.readouterr().out.count("gives up flow server nightly for an hour: its command") == 1
    )


def test_it_is_given_up_after_a_restart_of_the_server_too(world, silent):
    async def act():
        world.restart()
        await world.book.load()
        return world.book.servers["nightly"]

    record = silent(act)

    assert record.gave_up_at
    assert record.gave_up_why == (
        "its command runs and asks for no work: it hangs, or neither calls `serve()` nor starts a "
        "worker; see its log, `fly logs -a acme-nightly`"
    )


def test_a_command_that_ends_at_once_is_named(world, silent):
    async def act():
        return world.book.servers["nightly"].gave_up_why

    why = silent(act, boots=map(str, count()))

    assert why.startswith("it started ")
    assert "and its command ended before it asked for work" in why


def test_a_run_that_somebody_starts_is_worth_one_more_try(world, silent):
    async def act():
        world.watch.nudge(wanted=True)
        await hang(world, 300)
        return len(world.woken)

    assert silent(act) == 1


def test_one_that_executes_a_run_and_asks_for_no_other_is_not_given_up(world):
    async def act():
        await world.book.claim(B1, "long")
        world.active = {"long"}
        world.pass_time(ALIVE_S + 1)
        world.put(-1)
        await hang(world, GIVE_UP_S + 120)
        return world.book.servers["nightly"].gave_up_at

    assert play(world, act) == 0.0


def test_it_is_woken_as_before_once_it_asks_for_work(world, silent):
    async def act():
        await world.book.poll(B1, served(["d"], ["pool"]))
        world.pass_time(ALIVE_S + 1)
        await world.look()
        return world.records.rows["nightly"]["gave_up_at"], world.watch.stays_awake()

    kept, awake = silent(act)

    assert kept == 0.0
    assert awake.startswith("the run run for flow server nightly is due")
    assert len(world.woken) == 1


def test_attempts_for_a_run_that_waits_no_more_are_no_reason_to_give_up_later(world):
    async def act():
        world.pass_time(ALIVE_S + 1)
        world.put(-1)
        await world.look()
        world.waiting.clear()
        for _ in range(100):
            world.pass_time(30)
            await world.look()
        world.put(-1)
        await world.look()
        return world.waker.gave_up("nightly")

    assert play(world, act) is False
    assert len(world.woken) == 2


def test_a_machine_that_never_announces_itself_is_named(world):
    async def act():
        world.pass_time(ALIVE_S + 1)
        world.put(-1)
        for _ in range(40):
            world.pass_time(30)
            await world.look()
        return world.book.servers["nightly"].gave_up_why

    assert play(world, act).startswith("its machine starts, and did not announce itself here")
