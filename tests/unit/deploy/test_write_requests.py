"""Writes are executed one at a time, and reads are not delayed by them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from helpers.asgi_calls import Client, answer, body_of, chunks, http
from helpers.waiting import LIMIT_S
from roost_server.write_requests import READS, WRITES, is_write, queue_requests


class Database:
    """An application that waits in each write until released, and counts concurrent ones."""

    def __init__(self):
        self.inside = self.most = self.served = 0
        self.entered, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        try:
            await body_of(receive)
            if scope["method"] in WRITES and not scope["path"].endswith("/filter"):
                await self.go_on.wait()
            await answer(send, 200)
            self.served += 1
        finally:
            self.inside -= 1


async def others_run():
    """Let every other task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def with_one_writing(body):
    """Run a scenario in which one write is in progress and stays there."""

    async def scenario():
        database = Database()
        app = queue_requests(database)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            first = group.create_task(Client().call(app))
            await database.entered.wait()
            result = await body(app, database, group, first)
            database.go_on.set()
        return result, database

    return asyncio.run(scenario())


def test_writes_take_turns_and_all_are_served():
    async def twenty_more(app, database, group, _):
        for method in sorted(WRITES) * 5:
            group.create_task(Client().call(app, http(method)))
        await others_run()
        return database.inside

    inside, database = with_one_writing(twenty_more)

    assert (inside, database.most) == (1, 1)
    assert database.served == 1 + 5 * len(WRITES)


@pytest.mark.parametrize(
    "scope",
    [http("GET"), http("HEAD"), http("OPTIONS"), http("POST", "/api/flow_runs/filter")],
    ids=lambda scope: scope["method"],
)
def test_who_reads_does_not_wait_for_who_writes(scope):
    async def read(app, *_):
        return (await Client().call(app, scope)).statuses

    statuses, database = with_one_writing(read)

    assert statuses == [200]
    assert database.most == 2


@pytest.mark.parametrize("size", [4, 2**21], ids=["a few bytes", "two megabytes"])
def test_a_client_that_sends_slowly_holds_nobody_up(size):
    async def scenario():
        database = Database()
        database.go_on.set()
        app = queue_requests(database)
        slow = asyncio.create_task(Client(chunks(b"x" * size, b"")[:1]).call(app))
        await others_run()

        served = await asyncio.wait_for(Client().call(app), LIMIT_S)

        slow.cancel()
        with suppress(asyncio.CancelledError):
            await slow
        return served.statuses, database.served

    assert asyncio.run(scenario()) == ([200], 1)


def test_a_client_that_goes_away_in_its_turn_gives_it_back():
    async def cancel(app, database, group, first):
        first.cancel()
        second = group.create_task(Client().call(app))
        await others_run()
        return first.cancelled(), second.done(), database.inside

    result, database = with_one_writing(cancel)

    assert result == (True, False, 1)
    assert database.served == 1


def test_a_client_that_goes_away_while_it_waits_takes_no_turn():
    async def cancel(app, database, group, _):
        second = group.create_task(Client().call(app))
        await others_run()
        second.cancel()
        group.create_task(Client().call(app))
        await others_run()
        return second.cancelled(), database.inside

    result, database = with_one_writing(cancel)

    assert result == (True, 1)
    assert database.served == 2


def test_what_a_client_gave_up_while_it_waited_is_not_carried_out():
    """Its client sends it again: executed, its effect would exist twice."""

    async def give_up(app, database, group, _):
        client = Client(chunks(b"x"))
        given_up = group.create_task(client.call(app))
        await others_run()
        client.leave()
        again = group.create_task(Client(chunks(b"x")).call(app))
        await others_run()
        database.go_on.set()
        await asyncio.wait([given_up, again])
        return client.got

    got, database = with_one_writing(give_up)

    assert got == []
    assert database.served == 2


def test_what_is_begun_is_carried_out_whoever_leaves():
    async def scenario():
        database = Database()
        client = Client(chunks(b"x"))
        client.leave()
        database.go_on.set()
        await client.call(queue_requests(database))
        return database.served

    assert asyncio.run(scenario()) == 1


def test_an_application_that_fails_gives_its_turn_back():
    async def scenario():
        async def fails(*_):
            raise LookupError("broken")

        app = queue_requests(fails)
        for _ in range(2):
            with pytest.raises(LookupError):
                await asyncio.wait_for(Client().call(app), LIMIT_S)

    asyncio.run(scenario())


def test_of_who_is_sent_away_nothing_is_kept_and_no_turn_is_taken():
    """An application with a login does not read the body of an unauthenticated request."""

    async def scenario():
        heard = []

        async def app(_, receive, send):
            heard.append(receive)
            await answer(send, 401)

        slot = asyncio.Semaphore(0)  # none is to be had
        client = Client([])  # who sends nothing, ever
        layer = queue_requests(app, slot=slot, may_write=lambda _: False)
        await asyncio.wait_for(client.call(layer), LIMIT_S)
        return client.statuses, heard == [client.receive]

    assert asyncio.run(scenario()) == ([401], True)


@pytest.mark.parametrize("end", READS)
def test_what_is_posted_to_read_is_no_write(end):
    assert not is_write(http("POST", f"/api/flow_runs{end}"))
    assert not is_write(http("POST", f"/api/flow_runs{end}/"))


def test_to_count_events_is_to_read():
    assert not is_write(http("POST", "/api/events/count-by/event"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/work_pools/count-by/queues"),  # a pool of that name
        ("POST", "/api/flow_runs/"),
        ("POST", "/api/flow_runs/5/set_state"),
        ("POST", "/api/logs"),
        ("POST", "/api/filter/5"),
        ("PUT", "/api/automations/5"),
        # Names that people gave, not words of the API.
        ("DELETE", "/api/variables/name/count"),
        ("PATCH", "/api/work_pools/read"),
        ("PATCH", "/api/work_pools/main/queues/history"),
    ],
)
def test_what_changes_something_is_a_write(method, path):
    assert is_write(http(method, path))


@pytest.mark.parametrize(
    "scope",
    [{"type": "websocket", "path": "/api/events/in"}, {"type": "lifespan"}, http("GET")],
    ids=lambda scope: scope["type"],
)
def test_what_is_no_write_passes_through_untouched(scope):
    passed = []
    client = Client()

    async def app(*arguments):
        passed.append(arguments)

    asyncio.run(client.call(queue_requests(app), scope))

    ((its_scope, receive, send),) = passed
    assert its_scope is scope
    assert (receive, send) == (client.receive, client.send)
