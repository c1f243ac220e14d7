"""A server announces its next run to the waker, and what it does while the waker does not take it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from roost_server.next_due import NextDue
from roost_server.waker_announcement import AGAIN_S, HOLD_S, KEY, TRIES, Announcer

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
ADDRESSES = {
    "ROOST_WAKER": "http://acme-waker.flycast",
    "ROOST_SERVER_ADDRESS": "https://acme.fly.dev",
}
METADATA = f"/v1/apps/acme/machines/m1/metadata/{KEY}"


class World:
    """A waker that answers with statuses, the last one forever; time passes in pauses only."""

    def __init__(self, environ, *statuses):
        self.statuses, self.posts, self.now = list(statuses), [], 0.0
        self.announcer = Announcer(environ, self.post, lambda: self.now, self.sleep)

    async def post(self, address, body):
        """Answer with the next status."""
        self.posts.append((address, body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Exception):
            raise status
        return status

    async def sleep(self, seconds):
        """Let time pass."""
        self.now += seconds

    def may_sleep(self, at=AT):
        """Announce as before a sleep."""

        async def act():
            await self.announcer.leave(NextDue(at, {}) if at else None)
            return await self.announcer.prepare_sleep()

        return asyncio.run(act())


@pytest.fixture
def world(machine_api):
    return lambda *statuses: World({**machine_api.environ, **ADDRESSES}, *statuses)


def left(machine_api):
    return json.loads(machine_api.bodies[-1]["value"])


def test_the_time_and_the_address_are_announced_and_noted(world, machine_api):
    found = world(200)

    assert found.may_sleep()
    assert found.posts == [
        (
            "http://acme-waker.flycast/roost/wake",
            {"app": "acme", "address": "https://acme.fly.dev", "at": "2026-11-30T12:00:00+00:00"},
        )
    ]
    assert machine_api.asked == [("POST", METADATA)]
    assert left(machine_api) == {"at": "2026-11-30T12:00:00+00:00", "error": ""}


def test_nothing_to_come_is_a_withdrawal(world, machine_api):
    found = world(200)

    assert found.may_sleep(None)
    assert found.posts[0][1]["at"] is None
    assert left(machine_api) == {"at": None, "error": ""}


def test_it_is_announced_at_each_sleep_as_the_waker_may_be_a_new_one(world, machine_api):
    found = world(200)
    found.may_sleep()
    found.may_sleep()

    assert len(found.posts) == 2
    assert len(machine_api.asked) == 1  # nothing new for the metadata


def test_without_a_waker_nothing_is_done(machine_api):
    found = World(machine_api.environ, 500)

    assert found.may_sleep()
    assert (found.posts, machine_api.asked) == ([], [])


def test_a_lost_answer_is_made_good_at_once(world):
    found = world(OSError("reset"), 503, 200)

    assert found.may_sleep()
    assert len(found.posts) == TRIES


def test_a_waker_that_is_away_keeps_the_server_awake_for_a_while_and_not_for_ever(
    world, machine_api, capsys
):
    found, slept, looks = world(OSError("no route")), False, 0
    while not slept:
        if found.announcer.stays_awake():
            found.now += 1.0
        else:
            slept, looks = found.may_sleep(), looks + 1

    assert HOLD_S <= found.now < HOLD_S + 2 * AGAIN_S
    assert looks == pytest.approx(HOLD_S / AGAIN_S, rel=0.2)
    # Nothing is missed silently: `status` reads this, and the log says it.
    assert left(machine_api)["at"] == "2026-11-30T12:00:00+00:00"
    assert "no route" in left(machine_api)["error"]
    said = capsys.readouterr().out
    assert said.count("cannot announce when this server is needed") == 1
    assert "only `roost tick` wakes this server in time" in said


def test_the_waker_comes_back_meanwhile(world, machine_api, capsys):
    found = world(*[OSError("no route")] * TRIES, 200)

    assert not found.may_sleep()
    assert "no route" in found.announcer.stays_awake()
    found.now += AGAIN_S
    assert found.announcer.stays_awake() is None
    assert found.may_sleep()
    assert found.announcer.stays_awake() is None
    assert left(machine_api)["error"] == ""
    assert "takes announcements again" in capsys.readouterr().out


@pytest.mark.parametrize("status", [404, 422, 507])
def test_a_refusal_that_time_does_not_change_does_not_keep_it_awake(world, machine_api, status):
    found = world(status)

    assert found.may_sleep()
    assert len(found.posts) == 1
    assert f"status {status}" in left(machine_api)["error"]


def test_a_withdrawal_that_fails_costs_a_wake_and_does_not_keep_it_awake(world):
    assert world(OSError("no route")).may_sleep(None)


def test_an_awake_server_is_told_whether_the_waker_has_it(world):
    """So that it is announced again in a minute: others may suspend the machine."""
    due = NextDue(AT, {})

    assert asyncio.run(world(200).announcer.leave(due))
    assert not asyncio.run(world(503).announcer.leave(due))


def test_a_failure_that_is_over_does_not_count_days_later(world):
    """The time of waiting begins anew: nobody asked for a sleep when it succeeded."""
    found = world(*[OSError("no route")] * TRIES, 200, OSError("no route"))
    assert not found.may_sleep()
    asyncio.run(found.announcer.leave(NextDue(AT, {})))
    found.now += 2 * HOLD_S

    assert not found.may_sleep()
