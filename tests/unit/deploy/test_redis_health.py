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


def call(redis, script, path="/api/flows/", clock=None):
    """Send a request through the layer to an application with these answers."""
    app = RedisHealth(redis.ping, clock or Clock()).layer(Scripted(script))
    return asyncio.run(Client().call(app, http(path=path)))


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
    redis.there = False

    # Prefect answers 500, and then raises the error again.
    found = call(redis, [(500, RAISED)])

    assert found.statuses == [503]
    # Which Prefect's client does not count as one of its attempts.
    assert headers(found)[b"prefect-maintenance"] == b"true"
    assert b"retry-after" not in headers(found)


def test_reads_go_on_without_it(redis):
    redis.there = False

    assert call(redis, [200]).statuses == [200]
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
            await Client().call(app, http())
        asked = redis.asked
        clock.now += FRESH_S
        redis.there = True
        return asked, (await Client().call(app, http())).statuses

    assert asyncio.run(requests()) == (1, [500])
