"""The idle connections to machines, and the timers that close them."""

from __future__ import annotations

import asyncio

from localfly.proxy.pool import KEEP_S, Pool, Target

TARGET = Target("app-1", "127.0.0.1", 80)


class IdleWire:
    """A connection that can be used again until it is closed."""

    idle_and_open = True

    def rest(self):
        """Be ready for another request."""
        return True

    def abort(self):
        """Close."""
        self.idle_and_open = False


class Clock:
    """Stands for the loop's time and timers, which the test lets pass."""

    def __init__(self, loop, monkeypatch):
        self.now = 0.0
        self.timers = []
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop, "call_at", self._at)
        monkeypatch.setattr(
            loop, "call_later", lambda after, *call: self._at(self.now + after, *call)
        )

    def _at(self, when, *call):
        self.timers.append((when, call))

    def pass_on(self, seconds):
        """Let time pass and run the timers that are due."""
        self.now += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for _, (function, *values) in due:
            function(*values)


def test_a_target_has_one_timer_however_often_its_connection_is_used(monkeypatch):
    async def scenario():
        with monkeypatch.context() as patch:
            clock = Clock(asyncio.get_running_loop(), patch)
            pool, wire, counts = Pool(), IdleWire(), []
            for _ in range(100):
                pool.keep(TARGET, wire)
                assert pool.take(TARGET, safe=True) is wire
                clock.pass_on(KEEP_S / 10)
                counts.append(len(clock.timers))
            return max(counts)

    assert asyncio.run(scenario()) == 1


def test_an_idle_connection_is_closed_in_time_also_after_its_target_was_forgotten(monkeypatch):
    async def scenario():
        with monkeypatch.context() as patch:
            clock = Clock(asyncio.get_running_loop(), patch)
            pool, first, second, third = Pool(), IdleWire(), IdleWire(), IdleWire()
            pool.keep(TARGET, first)
            pool.forget(TARGET.machine_id)
            clock.pass_on(KEEP_S / 2)
            pool.keep(TARGET, second)
            clock.pass_on(KEEP_S / 2)
            half = second.idle_and_open
            clock.pass_on(KEEP_S / 2)
            ended = second.idle_and_open
            left = len(clock.timers)
            pool.keep(TARGET, third)
            clock.pass_on(KEEP_S)
            return half, ended, left, third.idle_and_open, clock.timers

    assert asyncio.run(scenario()) == (True, False, 0, False, [])
