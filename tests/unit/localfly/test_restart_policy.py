"""The restart policy without a process."""

from __future__ import annotations

import pytest

from localfly.machines.restart_policy import BACKOFF_S, DEFAULT_RETRIES, WINDOW_S, Restarts
from localfly.runtime.process import Exit

FAILED, DONE, UNKNOWN = Exit(exit_code=1), Exit(exit_code=0), Exit()


@pytest.mark.parametrize(
    ("config", "ended", "again"),
    [
        ({}, FAILED, True),
        ({}, DONE, False),
        ({}, UNKNOWN, True),
        ({}, Exit(signal=9), True),
        ({}, Exit(exit_code=0, oom_killed=True), True),
        ({"auto_destroy": True}, FAILED, False),
        ({"restart": {"policy": "no"}}, FAILED, False),
        ({"restart": {"policy": "always"}}, DONE, True),
        ({"restart": {"policy": "on-failure"}, "auto_destroy": True}, FAILED, True),
    ],
)
def test_the_policy_decides_by_how_it_ended(config, ended, again):
    assert Restarts().allowed(config, ended, 0.0) is again


@pytest.mark.parametrize(
    ("config", "limit"),
    [({}, DEFAULT_RETRIES), ({"restart": {"policy": "on-failure", "max_retries": 2}}, 2)],
)
def test_retries_are_counted_within_the_window_only(config, limit):
    restarts = Restarts()
    for _ in range(limit):
        assert restarts.allowed(config, FAILED, 0.0)
        restarts.next_delay_s(0.0)

    assert not restarts.allowed(config, FAILED, WINDOW_S - 1)
    assert restarts.allowed(config, FAILED, WINDOW_S + 1)


def test_always_has_no_limit():
    restarts = Restarts(moments=[0.0] * 1000)

    assert restarts.allowed({"restart": {"policy": "always", "max_retries": 1}}, FAILED, 1.0)


def test_each_restart_waits_longer_up_to_a_limit():
    restarts = Restarts()

    delays = [restarts.next_delay_s(0.0) for _ in range(len(BACKOFF_S) + 2)]

    assert delays == sorted(delays)
    assert delays[-1] == BACKOFF_S[-1]
