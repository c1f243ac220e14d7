"""Time that passes only while all tasks sleep, so that limits are exact on a busy computer too.

For what neither waits for another process nor for a thread: those take time that nobody sleeps.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import anyio

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

MOMENT_S = 1e-3


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while a task works, and jumps to the next timer."""

    def __init__(self) -> None:
        selector = Jumping()
        super().__init__(selector)
        self._selector = selector

    def time(self) -> float:
        """Return the seconds that were slept so far."""
        return self._selector.now


class Jumping(selectors.DefaultSelector):
    """A selector that skips the time until the next timer instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, advance the clock to the next timer."""
        ready = super().select(timeout if timeout is None else 0)
        # Work takes a moment, or who never sleeps would never meet a limit.
        self.now += MOMENT_S if ready or not timeout else timeout + MOMENT_S
        return ready


def run(function: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
    """Run a coroutine function to its end, as `anyio.run` does, in virtual time."""
    return anyio.run(function, *arguments, backend_options={"loop_factory": VirtualLoop})
