"""The time of tests that wait for nobody outside: hours pass at once, in order, and limits are met."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from helpers import virtual_time


def test_a_limit_is_met_exactly():
    async def scenario():
        with anyio.move_on_after(3600) as scope:
            await anyio.sleep(7200)
        return scope.cancelled_caught, anyio.current_time()

    cancelled, now = virtual_time.run(scenario)

    assert cancelled
    assert 3600 <= now < 3601


def test_who_sleeps_less_is_awake_first():
    async def scenario():
        woken = []

        async def sleep(seconds):
            await anyio.sleep(seconds)
            woken.append(seconds)

        async with anyio.create_task_group() as tasks:
            for seconds in (30, 10, 20):
                tasks.start_soon(sleep, seconds)
        return woken

    assert virtual_time.run(scenario) == [10, 20, 30]


def test_who_never_sleeps_meets_a_limit_too():
    async def scenario():
        with anyio.move_on_after(1) as scope:
            while True:
                await anyio.lowlevel.checkpoint()
        return scope.cancelled_caught

    assert virtual_time.run(scenario)
