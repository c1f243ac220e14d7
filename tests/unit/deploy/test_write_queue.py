"""Writers wait for a slot, and no error in one slot blocks the others."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from helpers.waiting import LIMIT_S
from roost_server.sqlite_writers import is_change
from roost_server.write_queue import ORIGIN, Origin, WriteQueue


async def others_run():
    """Let every other task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Writers:
    """Tasks that write: each records its start, and waits until it is released."""

    def __init__(self, queue):
        self.queue = queue
        self.began, self.inside, self.most = [], 0, 0
        self.tasks, self.let_go = {}, {}

    async def start(self, name, origin=Origin.SERVICE):
        """Start a writer, and wait until it has its slot or its place in the queue."""
        self.let_go[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._write(name, origin))
        await others_run()

    async def _write(self, name, origin):
        ORIGIN.set(origin)
        async with self.queue.slot():
            self.began.append(name)
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await self.let_go[name].wait()
            finally:
                self.inside -= 1

    async def end(self, *names):
        """Release writers one after the other."""
        for name in names:
            self.let_go[name].set()
            await others_run()


@asynccontextmanager
async def writers(limit_s=60.0):
    found = Writers(WriteQueue(limit_s))
    async with asyncio.timeout(10):
        yield found
        for name, task in found.tasks.items():
            found.let_go[name].set()
            with suppress(asyncio.CancelledError):
                await task
        assert not found.queue.is_taken()


def test_one_writes_at_a_time_and_the_first_to_come_is_the_first_served():
    async def scenario():
        async with writers() as found:
            for name in "abcd":
                await found.start(name)
            assert found.began == ["a"]
            await found.end(*"abcd")
            return found.began, found.most

    assert asyncio.run(scenario()) == (list("abcd"), 1)


def test_a_request_waits_for_one_service_at_most_however_many_came_before():
    async def scenario():
        async with writers() as found:
            for name in ("s1", "s2", "s3", "s4"):
                await found.start(name)
            for name in ("r1", "r2"):
                await found.start(name, Origin.REQUEST)
            await found.end("s1", "r1", "s2", "r2", "s3", "s4")
            return found.began

    assert asyncio.run(scenario()) == ["s1", "r1", "s2", "r2", "s3", "s4"]


def test_a_service_waits_for_one_request_at_most_however_many_came_before():
    async def scenario():
        async with writers() as found:
            for name in ("r1", "r2", "r3"):
                await found.start(name, Origin.REQUEST)
            await found.start("s1")
            await found.end("r1", "s1", "r2", "r3")
            return found.began

    assert asyncio.run(scenario()) == ["r1", "s1", "r2", "r3"]


def test_who_is_cancelled_while_it_waits_takes_no_turn():
    async def scenario():
        async with writers() as found:
            for name in "abc":
                await found.start(name)
            found.tasks["b"].cancel()
            await others_run()
            await found.end("a")
            return found.began

    assert asyncio.run(scenario()) == ["a", "c"]


def test_who_is_cancelled_in_the_moment_it_is_served_passes_the_turn_on():
    async def scenario():
        async with writers() as found:
            slot = await found.queue._acquire(Origin.SERVICE)
            for name in "bc":
                await found.start(name)
            found.queue._release(slot)
            # The turn is b's, and b has not run since.
            found.tasks["b"].cancel()
            await others_run()
            return found.began

    assert asyncio.run(scenario()) == ["c"]


def test_who_fails_or_is_cancelled_in_its_turn_gives_it_back():
    async def scenario():
        queue = WriteQueue()
        with pytest.raises(LookupError):
            async with queue.slot():
                raise LookupError("broken")
        async with writers() as found:
            await found.start("a")
            await found.start("b")
            found.tasks["a"].cancel()
            await others_run()
            return queue.is_taken(), found.began

    assert asyncio.run(scenario()) == (False, ["a", "b"])


def test_what_is_called_within_a_turn_does_not_wait_for_itself():
    """A session within a session, or the server calling its own API, in any task."""

    async def scenario():
        queue, done = WriteQueue(), []

        async def nested():
            async with queue.slot():
                done.append("nested")

        async with asyncio.timeout(5), queue.slot():
            await nested()
            await asyncio.create_task(nested())
            assert queue.is_taken()
        return done, queue.is_taken()

    assert asyncio.run(scenario()) == (["nested", "nested"], False)


def test_a_task_that_outlives_the_turn_it_was_begun_in_takes_turns_again():
    async def scenario():
        queue, ended = WriteQueue(), asyncio.Event()

        async def later():
            await ended.wait()
            async with queue.slot():
                return queue.is_taken()

        async with queue.slot():
            task = asyncio.create_task(later())
        ended.set()
        return await asyncio.wait_for(task, LIMIT_S)

    assert asyncio.run(scenario())


def test_a_turn_that_does_not_end_is_overtaken_and_its_end_takes_nobody_s_turn_away(capfd):
    async def scenario():
        async with writers(limit_s=0.01) as found:
            await found.start("stubborn")
            await found.start("b")
            while "b" not in found.began:  # noqa: ASYNC110 - the queue has no event for it
                await asyncio.sleep(0.01)
            found.queue._patience_s = 60.0
            await found.start("c")
            await found.end("stubborn")
            return found.began

    began = asyncio.run(scenario())

    assert began[:2] == ["stubborn", "b"]
    assert (
        "roost: a writer kept its slot for 0.01 s; the next one continues" in capfd.readouterr().out
    )


def test_another_event_loop_passes_through_as_it_cannot_wait_here():
    queue = WriteQueue()

    async def elsewhere():
        async with queue.slot():
            return True

    async def scenario():
        async with queue.slot():
            return await asyncio.to_thread(asyncio.run, elsewhere())

    assert asyncio.run(asyncio.wait_for(scenario(), LIMIT_S))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO log (id) VALUES (:id)",
        "  update flow_run SET name = :name",
        "DELETE FROM log WHERE id IN (1)",
        "REPLACE INTO configuration VALUES (1)",
        "WITH old AS (SELECT id FROM log) DELETE FROM log WHERE id IN (SELECT id FROM old)",
        "WITH a AS (\n SELECT 1\n)\nUPDATE flow SET name = 'x'",
    ],
)
def test_what_changes_data_is_a_change(statement):
    assert is_change(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT updated FROM flow",
        "WITH a AS (SELECT updated, deleted FROM flow) SELECT * FROM a",
        "PRAGMA journal_mode = WAL;",
        "BEGIN IMMEDIATE",
        "SAVEPOINT sa_savepoint_1",
    ],
)
def test_what_reads_is_no_change(statement):
    assert not is_change(statement)
