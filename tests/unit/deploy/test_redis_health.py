"""A Redis that is away: health says so, and clients are told to try again."""

from __future__ import annotations

import asyncio

import pytest

from helpers.asgi_calls import Client, Scripted, http
from roost_server.redis_health import FRESH_S, RedisHealth

RAISED = RuntimeError("no connection")


class Redis:
    """A Redis that is there or not, and counts who asks."""

    there, asked = True, 0

    async def ping(self):
        """Answer, or fail as a client does."""
        self.asked += 1
        if not self.there:
            raise ConnectionError("refused")


class Clock:
    """A clock that a test advances."""

    now = 0.0

    def __call__(self):
        """Return the time."""
        return self.now


@pytest.fixture
def redis():
    return Redis()


class Leaves:
    """An application during which the Redis goes away, which then answers 500 and raises."""

    begun = 0

    def __init__(self, redis, clock):
        self.redis, self.clock = redis, clock

    async def __call__(self, scope, receive, send):
        """Begin, lose the Redis, and fail as Prefect does."""
        self.begun += 1
        self.redis.there = False
        self.clock.now += FRESH_S
        await Scripted([(500, RAISED)])(scope, receive, send)


def call(redis, script, path="/api/flows/", method="GET"):
    """Send a request through the layer to an application with these answers."""
    return send_to(redis, Scripted(script), path, method)


def send_to(redis, app, path="/api/flows/", method="POST", clock=None):
    """Send a request through the layer to an application."""
    layered = RedisHealth(redis.ping, clock or Clock()).layer(app)
    return asyncio.run(Client().call(layered, http(method, path)))


def headers(client):
    return dict(client.got[0]["headers"])


@pytest.mark.parametrize("path", ["/api/health", "/api/ready"])
def test_health_is_bad_while_the_redis_is_away_and_good_otherwise(redis, path):
    assert call(redis, [200], path).statuses == [200]
    redis.there = False
    away = call(redis, [], path)

    assert away.statuses == [503]
    assert b"Redis does not answer" in away.body


def test_an_error_that_its_absence_causes_is_one_that_clients_repeat(redis):
    clock = Clock()

    # Prefect answers 500, and then raises the error again.
    found = send_to(redis, Leaves(redis, clock), clock=clock)

    assert found.statuses == [503]
    # Which Prefect's client does not count as one of its attempts.
    assert headers(found)[b"prefect-maintenance"] == b"true"
    assert b"retry-after" not in headers(found)


LEASE = "/api/v2/concurrency_limits/increment-with-lease"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/flows/"), ("DELETE", "/api/flow_runs/1"), ("POST", LEASE)]
)
def test_a_write_is_not_begun_without_it(redis, method, path):
    app = Leaves(redis, Clock())
    redis.there = False

    found = [send_to(redis, app, path, method) for _ in range(3)]

    assert app.begun == 0
    assert [each.statuses for each in found] == [[503]] * 3
    assert {headers(each)[b"prefect-maintenance"] for each in found} == {b"true"}


def test_slots_that_were_taken_as_it_went_are_not_taken_again(redis):
    """Prefect has committed them then, so its 500 stays one, which clients do not repeat."""
    clock = Clock()

    with pytest.raises(RuntimeError, match="no connection"):
        send_to(redis, Leaves(redis, clock), LEASE, clock=clock)


@pytest.mark.parametrize("path", ["/api/flows/", "/api/flow_runs/filter"])
def test_reads_go_on_without_it(redis, path):
    redis.there = False

    assert call(redis, [200], path, "POST" if path.endswith("filter") else "GET").statuses == [200]
    assert redis.asked == 0


def test_an_error_of_another_cause_stays_an_error(redis):
    with pytest.raises(RuntimeError, match="no connection"):
        call(redis, [(500, RAISED)])
    assert call(redis, [500]).statuses == [500]


def test_a_crowd_of_errors_asks_it_once(redis):
    redis.there, clock = False, Clock()
    app = RedisHealth(redis.ping, clock).layer(Scripted([500] * 6))

    async def requests():
        for _ in range(5):
            await Client().call(app, http("GET"))
        asked = redis.asked
        clock.now += FRESH_S
        redis.there = True
        return asked, (await Client().call(app, http("GET"))).statuses

    assert asyncio.run(requests()) == (1, [500])
