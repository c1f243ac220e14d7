"""Which calls may be sent again, when, and how often.

The rule belongs to each call, not to the status of its answer. Creating is not idempotent on Fly:
a create whose answer was lost may have happened. Such a call is sent again only when it certainly
was not carried out (no connection, or 429).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TypeVar

import httpx
import stamina

RETRY_AFTER_LIMIT_S = 60.0
TRANSIENT = frozenset({500, 502, 503, 504})

# stamina logs every repeat; without a handler Python would print that to standard error.
logging.getLogger("stamina").addHandler(logging.NullHandler())

T = TypeVar("T")


class Repeat(Enum):
    """When a call may be sent again."""

    SAFE = "twice has the same effect as once"
    UNSENT = "only when it certainly was not carried out"

    @classmethod
    def by_verb(cls, verb: str) -> Repeat:
        """Return the rule of HTTP itself: of all methods only POST is not idempotent."""
        return cls.UNSENT if verb == "POST" else cls.SAFE


class AgainError(Exception):
    """A call may be sent again, after `wait_s` where a time was given; `cause` is its failure."""

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
        attempts: the highest number of attempts, the first included.
        ends: no attempt begins after this time of the clock.
        clock: returns the time, in seconds.

    Raises:
        Exception: the cause of the last `AgainError`, or any other error of `send_once`.
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


def may_repeat_status(status: int, repeat: Repeat) -> bool:
    """Return whether an answer with this status allows the call to be sent again."""
    return status == httpx.codes.TOO_MANY_REQUESTS or (
        repeat is Repeat.SAFE and status in TRANSIENT
    )


def was_sent(failure: httpx.RequestError) -> bool:
    """Return whether a call without an answer may have reached the service."""
    return not isinstance(
        failure,
        httpx.ConnectError
        | httpx.ConnectTimeout
        | httpx.PoolTimeout
        | httpx.ProxyError
        | httpx.LocalProtocolError
        | httpx.UnsupportedProtocol,
    )


def may_repeat_failure(failure: httpx.RequestError, repeat: Repeat) -> bool:
    """Return whether a call without an answer may be sent again."""
    # httpx itself refused to send these, and would refuse them again.
    if isinstance(failure, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return False
    return repeat is Repeat.SAFE or not was_sent(failure)


def retry_after_s(response: httpx.Response, now: Callable[[], datetime]) -> float | None:
    """Read Retry-After, in seconds or as a date, capped; None when it is absent or unreadable."""
    written = response.headers.get("retry-after", "")
    try:
        wait = float(written)
    except ValueError:
        moment = http_date(written)
        if moment is None:
            return None
        wait = (moment - now()).total_seconds()
    if wait != wait:  # noqa: PLR0124 - float() reads `nan` too
        return None
    return min(max(wait, 0.0), RETRY_AFTER_LIMIT_S)


def http_date(written: str) -> datetime | None:
    """Read the date of an HTTP header; a date without a zone is in UTC."""
    try:
        moment = parsedate_to_datetime(written)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
