"""A write that finds SQLite busy is retried here, and its client gets the last response only."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from helpers.asgi_calls import DISCONNECT, Client, Scripted, answer, body_of, chunks, http
from helpers.waiting import LIMIT_S
from roost_server.write_requests import KEPT_IN_MEMORY, PART, RETRY_DELAYS_S, queue_requests

BUSY = 503
TRIES = len(RETRY_DELAYS_S) + 1
ERROR = LookupError("as Prefect's framework raises for the log")
LARGE = [bytes([part]) * (KEPT_IN_MEMORY // 2 + part) for part in range(5)]


def write(app, bodies=(b"body",), *, then=(), scope=None):
    """Write through the layer with a test clock; return the client and the delays."""
    pauses = []

    async def pause(seconds):
        pauses.append(seconds)

    client = Client([*chunks(*bodies), *then])
    asyncio.run(asyncio.wait_for(client.call(queue_requests(app, pause), scope), LIMIT_S))
    return client, pauses


def test_a_good_answer_comes_at_once():
    app = Scripted([201])

    client, pauses = write(app)

    assert (client.statuses, client.body) == ([201], b"answer 1")
    assert pauses == []


@pytest.mark.parametrize("busy", range(1, TRIES))
def test_a_busy_database_is_asked_again_after_ever_longer_pauses(busy):
    app = Scripted([*[BUSY] * busy, 201])

    client, pauses = write(app)

    assert (client.statuses, client.body) == ([201], b"answer %d" % (busy + 1))
    assert pauses == list(RETRY_DELAYS_S[:busy])


def test_a_database_that_stays_busy_is_told_of_after_the_last_pause():
    app = Scripted([BUSY] * TRIES)

    client, pauses = write(app)

    assert (client.statuses, client.body) == ([BUSY], b"answer %d" % TRIES)
    assert pauses == list(RETRY_DELAYS_S)
    assert list(RETRY_DELAYS_S) == sorted(RETRY_DELAYS_S)


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param([b""], id="empty"),
        pytest.param([b"one"], id="one part"),
        pytest.param([b"one", b"", b"two", b"three"], id="parts"),
        pytest.param([b"x" * KEPT_IN_MEMORY], id="the largest in memory"),
        pytest.param([b"x" * PART, b"y" * PART], id="whole parts"),
        pytest.param(LARGE, id="in a file"),
        pytest.param([b"x" * 2**22], id="one large part"),
    ],
)
def test_every_try_gets_the_body_whole(bodies):
    app = Scripted([BUSY, BUSY, 201])

    client, _ = write(app, bodies)

    assert app.bodies == [b"".join(bodies)] * 3
    assert client.statuses == [201]


def test_every_try_gets_the_scope_as_it_came():
    seen = []

    async def app(scope, receive, send):
        seen.append(dict(scope))
        scope["path"] = "changed, as routers do"
        await body_of(receive)
        await answer(send, BUSY if len(seen) == 1 else 201)

    write(app, scope=http("PATCH", "/api/flows/5"))

    assert seen == [http("PATCH", "/api/flows/5")] * 2


@pytest.mark.parametrize("status", [200, 404, 409, 422, 500, 502])
def test_no_other_answer_is_asked_for_again(status):
    app = Scripted([status])

    client, pauses = write(app)

    assert (client.statuses, pauses) == ([status], [])


def test_a_read_that_finds_it_busy_is_not_repeated():
    app = Scripted([BUSY])

    client, pauses = write(app, scope=http("GET"))

    assert (client.statuses, pauses) == ([BUSY], [])


def test_what_is_raised_after_busy_breaks_no_connection():
    app = Scripted([(BUSY, ERROR), (BUSY, ERROR), 201])

    client, pauses = write(app)

    assert (client.statuses, client.body) == ([201], b"answer 3")
    assert len(pauses) == 2


def test_what_is_raised_after_the_last_busy_answer_does_not_either():
    app = Scripted([(BUSY, ERROR)] * TRIES)

    client, _ = write(app)

    assert (client.statuses, client.body) == ([BUSY], b"answer %d" % TRIES)


@pytest.mark.parametrize("step", [ERROR, (200, ERROR), (500, ERROR)], ids=["none", "200", "500"])
def test_what_is_raised_with_any_other_answer_passes(step):
    with pytest.raises(LookupError):
        write(Scripted([step]))


def test_what_is_raised_instead_of_an_answer_passes_after_a_busy_one_too():
    with pytest.raises(LookupError):
        write(Scripted([BUSY, ERROR]))


def test_a_client_that_leaves_in_the_middle_of_its_body_is_noticed():
    heard = []

    async def app(_, receive, __):
        heard.extend([await receive(), await receive()])

    client = Client([*chunks(b"half", b"rest")[:1], DISCONNECT])
    asyncio.run(asyncio.wait_for(client.call(queue_requests(app)), LIMIT_S))

    assert heard == [*chunks(b"half", b"rest")[:1], DISCONNECT]


def test_a_client_that_leaves_after_its_body_is_noticed():
    heard = []

    async def app(_, receive, __):
        await body_of(receive)
        heard.append(await receive())

    write(app, [b"one", b"two"], then=[DISCONNECT])

    assert heard == [DISCONNECT]


def test_of_a_large_body_little_is_in_memory():
    async def app(_, receive, send):
        while (await receive())["more_body"]:
            pass
        await answer(send, 201)

    class Large(Client):
        left = 200

        async def receive(self):
            self.left -= 1
            body = bytes(PART)
            return {"type": "http.request", "body": body, "more_body": self.left > 0}

    tracemalloc.start()
    try:
        client = asyncio.run(asyncio.wait_for(Large().call(queue_requests(app)), LIMIT_S))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert client.statuses == [201]
    assert most < 20 * PART
