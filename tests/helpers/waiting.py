"""Wait for conditions, never for a time, with one limit for all tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 300.0
"""Ends what hangs. What takes a second on an idle computer takes a minute at a load of 30 on 2 cores."""

LOOK_S = 0.02


def until(check: Callable[[], T]) -> T:
    """Wait until `check` returns something true; return that.

    Raises:
        AssertionError: it did not become true within LIMIT_S.
    """
    ends = time.monotonic() + LIMIT_S
    while not (found := check()):
        assert time.monotonic() < ends, f"it did not come about within {LIMIT_S:.0f} s"
        time.sleep(LOOK_S)
    return found


async def until_soon(check: Callable[[], T]) -> T:
    """Wait as `until` does, without blocking the event loop.

    Raises:
        TimeoutError: it did not become true within LIMIT_S.
    """
    async with asyncio.timeout(LIMIT_S):
        while not (found := check()):  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(LOOK_S / 4)
    return found
