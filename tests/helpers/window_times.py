"""Windows around the present, for tests that cannot set the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def window_at(begins: timedelta, ends: timedelta, now: datetime | None = None) -> dict[str, str]:
    """Return a daily window that opens and closes so far from now, by the minute, in UTC.

    Args:
        begins: from now to its beginning; the beginning of that minute counts.
        ends: from now to its end.
        now: the time; the present if it is left out.
    """
    at = now or datetime.now(UTC)
    start, end = (f"{at + far:%H:%M}" for far in (begins, ends))
    return {"days": "daily", "from": start, "to": end, "timezone": "UTC"}


OPEN = (timedelta(hours=-1), timedelta(hours=2))
LATER = (timedelta(hours=3), timedelta(hours=4))
CLOSED = (timedelta(hours=-3), timedelta(hours=-2))
