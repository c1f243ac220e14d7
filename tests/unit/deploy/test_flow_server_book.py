"""The book of flow servers: takeovers, drains, claims, and what a restart keeps."""

from __future__ import annotations

import asyncio

import pytest

from helpers import virtual_time
from helpers.flow_books import Scene, online, served
from roost_server import flow_server_book
from roost_server.flow_server_book import ALIVE_S, GAP_S, FencedError
from roost_server.flow_servers import DRAIN_S, Caller
from roost_server.missing_processes import GONE_S, Missing

B1, B2 = Caller("nightly", "b1"), Caller("nightly", "b2")


@pytest.fixture
def settled(monkeypatch):
    """The runs that were settled, each call for itself; tests/e2e has the real ones."""
    seen = []

    async def settle(runs, why, *, may_retry=True):
        seen.append((sorted(runs), why, may_retry))

    monkeypatch.setattr(flow_server_book, "settle_runs", settle)
    return seen


@pytest.fixture
def skipped(monkeypatch):
    """The deployments whose missed runs were looked for."""
    seen = []

    async def skip(served, policy, name):  # noqa: ARG001 - as the real one
        seen.append(sorted(served.deployments))

    monkeypatch.setattr(flow_server_book, "skip_missed", skip)
    return seen


@pytest.fixture
def scene(settled, skipped):  # noqa: ARG001 - both replace the database
    return Scene()


def test_a_new_boot_ends_the_runs_of_the_old_one_once(scene, settled):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.claim(B1, "run")
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.come_online("nightly", online("b2"))
        await scene.book.come_online("nightly", online("b2"))

    asyncio.run(play())

    why = "flow server nightly started again, and the process of this run is gone"
    assert settled == [(["run"], why, True)]
    assert scene.records.rows["nightly"]["runs"] == {}
    with pytest.raises(FencedError, match="b1"):
        scene.book.check(B1)
    assert scene.book.check(B2)


def test_a_fenced_boot_cannot_come_back(scene):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.come_online("nightly", online("b2"))
        await scene.book.come_online("nightly", online("b1"))

    with pytest.raises(FencedError):
        asyncio.run(play())

    assert scene.book.servers["nightly"].boot == "b2"


def test_the_last_request_of_an_old_boot_ends_before_its_runs_are_settled(scene, settled):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.claim(B1, "run")
        with scene.book.request(B1):
            taking_over = asyncio.create_task(scene.book.come_online("nightly", online("b2")))
            await asyncio.sleep(1)
            early = list(settled)
        await taking_over
        return early

    assert virtual_time.run(play) == []
    assert len(settled) == 1


def test_a_run_that_the_next_boot_executes_is_not_settled_a_second_time(scene, monkeypatch):
    """The watch settles what an attempt left, while the start of the next boot settles it too."""
    seen = []

    async def settle(runs, *_, **__):
        await asyncio.sleep(0)
        seen.append(sorted(runs))

    monkeypatch.setattr(flow_server_book, "settle_runs", settle)

    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.claim(B1, "run")
        taking_over = asyncio.create_task(scene.book.come_online("nightly", online("b2")))
        while not scene.book.servers["nightly"].dead_runs():  # noqa: ASYNC110 - a value has no event
            await asyncio.sleep(0)
        again = asyncio.create_task(scene.book.settle("nightly"))
        await taking_over
        await scene.book.claim(B2, "run")
        await again
        return dict(scene.book.servers["nightly"].runs)

    assert asyncio.run(play()) == {"run": "b2"}
    assert seen == [["run"]]


def test_a_restart_keeps_records_claims_fences_and_drains(scene):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.come_online("nightly", online("b2"))
        await scene.book.poll(B2, served(["d"], ["pool"]))
        await scene.book.claim(B2, "run")
        await scene.book.drain("nightly", draining=True)
        scene.restart()
        await scene.book.load()
        await scene.book.load()
        return scene.book.servers["nightly"], await scene.book.poll(B2, served(["d"]))

    record, given = asyncio.run(play())

    assert scene.records.loads == 1
    assert (record.deployments, record.pools) == (("d",), ("pool",))
    assert (record.fenced, record.runs, given) == (("b1",), {"run": "b2"}, False)


def test_a_drain_ends_by_itself(scene):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.drain("nightly", draining=True)
        given = [await scene.book.poll(B1, served())]
        scene.pass_time(DRAIN_S)
        return [*given, await scene.book.poll(B1, served())]

    assert asyncio.run(play()) == [False, True]


@pytest.mark.parametrize(
    ("then", "given"),
    [
        (lambda book: book.drain("nightly", draining=False), True),
        (lambda book: book.come_online("nightly", online("b2")), False),
    ],
)
def test_a_poll_of_a_waking_flow_server_waits_for_the_end_of_its_drain(scene, then, given):
    """The command asks before the launcher ended the drain; a boot that was replaced gets nothing."""

    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.drain("nightly", draining=True)
        scene.waking.add("nightly")
        poll = asyncio.create_task(scene.book.poll(B1, served()))
        await asyncio.sleep(1)
        was_done = poll.done()
        await then(scene.book)
        return was_done, await poll

    assert virtual_time.run(play) == (False, given)


def test_a_poll_does_not_wait_longer_than_its_limit(scene, monkeypatch):
    monkeypatch.setattr(flow_server_book, "HOLD_S", 0.0)

    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.drain("nightly", draining=True)
        scene.waking.add("nightly")
        return await scene.book.poll(B1, served())

    assert asyncio.run(play()) is False


def test_it_is_asleep_after_a_while_and_at_once_when_it_drains(scene):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        found = [scene.book.is_asleep("nightly")]
        scene.pass_time(ALIVE_S + 1)
        found.append(scene.book.is_asleep("nightly"))
        await scene.book.poll(B1, served())
        found.append(scene.book.is_asleep("nightly"))
        await scene.book.drain("nightly", draining=True)
        found.append(scene.book.is_asleep("nightly"))
        await scene.book.poll(B1, served())
        found.append(scene.book.is_asleep("nightly"))
        await scene.book.drain("nightly", draining=False)
        return [*found, scene.book.is_asleep("nightly")]

    assert asyncio.run(play()) == [False, True, False, True, True, False]


def test_runs_are_missed_only_after_a_gap_in_the_polls(scene, skipped):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.poll(B1, served(["d"]))
        skipped.clear()
        found = []
        # A busy flow server polls on, and what waits for its turn was not missed; nor after a crash.
        for seconds, act in (
            (5, lambda: scene.book.poll(B1, served(["d"]))),
            (GAP_S - 10, lambda: scene.book.come_online("nightly", online("b2"))),
            (1, lambda: scene.book.poll(B2, served(["d"]))),
            (GAP_S + 1, lambda: scene.book.poll(B2, served(["d"]))),
            (GAP_S + 1, lambda: scene.book.drain("nightly", draining=False)),
        ):
            scene.pass_time(seconds)
            await act()
            found.append(len(skipped))
        return found

    assert asyncio.run(play()) == [0, 0, 0, 1, 2]


def test_a_claim_is_written_before_it_counts_and_once(scene):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        found = [await scene.book.claim(B1, "run"), await scene.book.claim(B1, "run")]
        scene.records.fails = True
        with pytest.raises(OSError, match="away"):
            await scene.book.claim(B1, "other")
        scene.records.fails = False
        # The client sends the request again; until it is written, the claim does not count.
        return [*found, await scene.book.claim(B1, "other")]

    assert asyncio.run(play()) == [True, False, True]
    assert set(scene.records.rows["nightly"]["runs"]) == {"run", "other"}


def test_an_ended_run_is_forgotten_unless_it_is_claimed_again_meanwhile(scene):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        for run in ("ended", "again", "under way"):
            await scene.book.claim(B1, run)
        scene.book.claiming.add("under way")
        reviewed = scene.book.begin_review()
        await scene.book.claim(B1, "again")
        scene.book.end_review(reviewed)
        return reviewed, set(scene.book.servers["nightly"].runs)

    assert asyncio.run(play()) == ({"ended", "again"}, {"again", "under way"})


def test_a_removed_flow_server_leaves_no_run_and_no_record(scene, settled):
    async def play():
        await scene.book.come_online("nightly", online("b1"))
        await scene.book.claim(B1, "run")
        await scene.book.forget("nightly")

    asyncio.run(play())

    assert settled == [(["run"], "flow server nightly was removed", False)]
    assert scene.records.rows == scene.book.servers == {}
    assert scene.book.check(B1) is None


def test_a_run_that_prefect_gave_to_another_flow_server_is_no_more_the_former_one_s():
    """Two serve one pool; the former one may still report that its process is gone."""
    scene = Scene()

    async def act():
        await scene.book.come_online("nightly", online())
        await scene.book.come_online("weekly", online("w1"))
        await scene.book.claim(B1, "r1")
        scene.book.note_missing(B1, Missing(frozenset({"r1"}), frozenset()))
        await scene.book.claim(Caller("weekly", "w1"), "r1")
        scene.book.take_over("weekly", "r1")

    asyncio.run(act())
    scene.pass_time(2 * GONE_S)

    assert "r1" not in scene.book.servers["nightly"].runs
    assert scene.book.servers["weekly"].runs == {"r1": "w1"}
    assert "r1" not in scene.book.lost("nightly", GONE_S).gone
