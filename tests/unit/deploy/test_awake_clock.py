"""Silence is counted only while the server was there to hear."""

from __future__ import annotations

from types import SimpleNamespace

from roost_server.awake_clock import AwakeClock


def test_time_asleep_or_closed_or_in_a_jump_back_is_not_counted():
    wall = SimpleNamespace(now=1000.0, is_open=True)
    clock = AwakeClock(lambda: wall.now, lambda: wall.is_open)
    steps = [(0, True, 0), (2, True, 2), (5, True, 7), (3600, True, 7), (2, True, 9)]
    steps += [(2, False, 9), (-500, True, 9), (3, True, 12)]
    for seconds, opened, counted in steps:
        wall.now += seconds
        wall.is_open = opened
        clock.tick()
        assert clock.seconds == counted
