"""Work out from the server's answers what is due. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

# Prefect's runner registers its deployments when it starts. The server then deletes their automatic
# runs that are not due yet, and its scheduler makes new ones within 5 s, but none for a time that
# has passed meanwhile. A run that is due in this window would be lost.
REGISTRATION = timedelta(seconds=20)


def reason_to_stay_awake(record: Mapping[str, Any], now: datetime, idle_after_s: float) -> str:
    """Return why the machine must stay awake; empty if it may sleep.

    Args:
        record: the server's record of this flow server.
        now: the time, with its zone.
        idle_after_s: a run that is due within this time keeps it awake, in seconds.
    """
    if record.get("running"):
        return f"{len(record['running'])} flow runs are running"
    # The server gives up on overdue runs when the command does not ask for work.
    if record.get("overdue") and not record.get("gave_up"):
        return f"{record['overdue']} runs are overdue"
    due = read_time(record.get("due"))
    if due is not None and due - now <= timedelta(seconds=idle_after_s):
        return f"a run is due at {due.isoformat()}"
    return ""


def hold_s(runs: Iterable[Mapping[str, Any]], now: datetime) -> float:
    """Return for how long the command must not start yet, in seconds, so that no run is lost.

    Args:
        runs: the scheduled runs of the deployments that the command will register again.
        now: the time, with its zone.
    """
    times = (
        read_time(run.get("next_scheduled_start_time")) for run in runs if run.get("auto_scheduled")
    )
    ahead = [at - now for at in times if at is not None and now < at <= now + REGISTRATION]
    return max(ahead, default=timedelta()).total_seconds()


def read_time(value: object) -> datetime | None:
    """Return a time of RFC 3339; None for what is none."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
