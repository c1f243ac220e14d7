"""What may be sent again, and when. The rule is a property of each call, not of its status.

Creating things is not idempotent on Fly: a create whose answer was lost may have happened. So such
a call is repeated only when it certainly did not reach Fly's hands (no connection, or 429).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

import httpx

RETRY_AFTER_LIMIT_S = 60.0
TRANSIENT = frozenset({500, 502, 503, 504})


class Repeat(Enum):
    """When a call may be sent again."""

    SAFE = "doing it twice is the same as doing it once"
    UNSENT = "only when it surely was not taken"

    @classmethod
    def by_verb(cls, verb: str) -> Repeat:
        """Return the rule of HTTP itself: only POST does something new each time."""
        return cls.UNSENT if verb == "POST" else cls.SAFE


def may_repeat_status(status: int, repeat: Repeat) -> bool:
    """Return whether an answer with this status allows the call to be sent again."""
    return status == httpx.codes.TOO_MANY_REQUESTS or (
        repeat is Repeat.SAFE and status in TRANSIENT
    )


def was_sent(failure: httpx.RequestError) -> bool:
    """Return whether a call without an answer may have reached the service at all."""
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
    """Return whether a call without an answer may be sent again.

    What our own side refuses to send (LocalProtocolError, UnsupportedProtocol) stays refused.
    """
    if isinstance(failure, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return False
    return repeat is Repeat.SAFE or not was_sent(failure)


def retry_after_s(response: httpx.Response, now: Callable[[], datetime]) -> float | None:
    """Read Retry-After, seconds or date, capped; None when it is absent or unreadable."""
    written = response.headers.get("retry-after", "")
    try:
        wait = float(written)
    except ValueError:
        moment = http_date(written)
        if moment is None:
            return None
        wait = (moment - now()).total_seconds()
    if wait != wait:  # noqa: PLR0124 - `nan` is a float too
        return None
    return min(max(wait, 0.0), RETRY_AFTER_LIMIT_S)


def http_date(written: str) -> datetime | None:
    """Read the date of an HTTP header; no zone means UTC."""
    try:
        moment = parsedate_to_datetime(written)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
