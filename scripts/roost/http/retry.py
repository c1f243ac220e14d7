"""Calls that are sent again: while there is time, after the wait that was asked for, and not for ever.

What may be sent again is decided where a call is known; here only how.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

# stamina tells every repeat to the log; without a handler Python would print it to people.
logging.getLogger("stamina").addHandler(logging.NullHandler())

T = TypeVar("T")


class AgainError(Exception):
    """The call may be sent again, after `wait_s` if a time was named; `cause` is what went wrong."""

    def __init__(self, cause: Exception, wait_s: float | None = None) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.wait_s = wait_s


async def repeated(
    send_once: Callable[[], Awaitable[T]], attempts: int, ends: float, clock: Callable[[], float]
) -> T:
    """Send, again whenever that raises `AgainError`, and return the answer.

    Args:
        send_once: sends the call.
        attempts: at most so many.
        ends: no further one begins after this time of the clock.
        clock: tells the time, in seconds.

    Raises:
        Exception: the cause of the last `AgainError`, or whatever else came of the call.
    """

    def wait_of(error: Exception) -> bool | float:
        if not isinstance(error, AgainError) or clock() + (error.wait_s or 0) >= ends:
            return False
        return True if error.wait_s is None else error.wait_s

    try:
        async for attempt in stamina.retry_context(on=wait_of, attempts=attempts, timeout=None):
            with attempt:
                return await send_once()
    except AgainError as again:
        raise again.cause from None
    raise AssertionError("unreachable: the last attempt returns or raises")
