"""A lease that expired while its server was away is kept until its holder could renew it."""

from __future__ import annotations

import pytest

from roost_server.lease_keeping import GRACE_S, SLACK_S, Grace, clear_locks
from roost_server.settings import LEASE_STORAGE, lease_settings

EVERY_S = 15.0


class Clock:
    """A clock that a test advances."""

    now = 1_000_000.0

    def __call__(self):
        """Return the time."""
        return self.now


def looks(grace, clock, seconds, every_s=EVERY_S):
    """Check the leases for that long, as the service does; return when the grace period ended."""
    began = clock.now
    while clock.now - began < seconds:
        if grace.is_over(every_s):
            return clock.now - began
        clock.now += every_s
    return None


@pytest.fixture
def clock():
    return Clock()


def test_after_a_start_holders_have_their_time(clock):
    grace = Grace(clock=clock)

    assert looks(grace, clock, 600) == GRACE_S
    assert grace.is_over(EVERY_S)


@pytest.mark.parametrize("asleep_s", [2 * EVERY_S + SLACK_S + 1, 3600.0])
def test_after_a_sleep_holders_have_their_time_again(clock, asleep_s):
    grace = Grace(clock=clock)
    looks(grace, clock, 600)

    clock.now += asleep_s

    assert looks(grace, clock, 600) == GRACE_S


def test_a_clock_that_goes_back_is_no_reason_to_take_leases_away(clock):
    grace = Grace(clock=clock)
    looks(grace, clock, 600)

    clock.now -= 5

    assert not grace.is_over(EVERY_S)


@pytest.mark.parametrize("every_s", [1.0, EVERY_S, 300.0])
def test_however_often_it_looks_the_grace_ends(clock, every_s):
    grace = Grace(clock=clock)

    assert looks(grace, clock, 3000, every_s) == pytest.approx(GRACE_S, abs=every_s)
    assert looks(grace, clock, 3000, every_s) == 0


def test_while_only_the_gate_is_let_in_nobody_loses_a_lease(clock):
    closed = [True]
    grace = Grace(is_open=lambda: not closed[0], clock=clock)

    assert looks(grace, clock, 900) is None
    closed.clear()
    closed.append(False)

    assert looks(grace, clock, 900) == GRACE_S - EVERY_S  # since the last look while it was closed


def test_the_lock_of_a_server_that_was_killed_is_removed_and_no_lease(tmp_path):
    folder = tmp_path / "concurrency_leases"
    folder.mkdir()
    for name in ("expirations.lock", "expirations.json", "a.json"):
        (folder / name).write_text("1", encoding="utf-8")

    clear_locks({"PREFECT_HOME": str(tmp_path)})

    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "expirations.json"]


def test_where_there_are_no_leases_there_is_nothing_to_remove(tmp_path):
    clear_locks({"PREFECT_HOME": str(tmp_path / "none")})

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environ", "kept"),
    [
        ({}, {LEASE_STORAGE: "roost_server.leases"}),
        ({"ROOST_DATABASE_URL_VARIABLE": "DATABASE_URL"}, {}),
        ({"PREFECT_SERVER_DATABASE_DRIVER": "postgresql+asyncpg"}, {}),
    ],
    ids=["a volume", "Postgres", "Postgres by driver"],
)
def test_leases_are_kept_where_there_is_a_volume(environ, kept):
    assert lease_settings(environ) == kept
