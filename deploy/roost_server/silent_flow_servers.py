"""Give up a flow server that starts and asks for no work, and try it again now and then. Pure.

Its command hangs, ends at once, or is none that asks for work. Each wake of it would keep it and this
server awake for nothing, so it is started once an hour at most, and when somebody starts a run.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from roost_server.due_runs import WaitingRun
from roost_server.flow_servers import FlowServer

AGAIN_S = 3600.0
"""A flow server that was given up is started again after this many seconds, if a run is due."""


def give_up(record: FlowServer, now: float, why: str) -> FlowServer:
    """Return the record of a flow server that is waited for no longer; `now` is in s since 1970."""
    return replace(record, gave_up_at=now, gave_up_why=why)


def try_again(record: FlowServer, now: float) -> FlowServer:
    """Return the record of a flow server that was given up and is started once more."""
    return replace(record, gave_up_at=now) if record.gave_up_at else record


def is_given_up(record: FlowServer, now: float, *, ahead_s: float, wanted_at: float = 0.0) -> bool:
    """Return whether a flow server that asked for no work is still left alone.

    Args:
        record: the flow server.
        now: the time in seconds since 1970.
        ahead_s: so many seconds before its time ends, it ended.
        wanted_at: when somebody started a run, in seconds since 1970.
    """
    at = record.gave_up_at
    return bool(at) and at <= now < at + AGAIN_S - ahead_s and wanted_at <= at


def next_try(record: FlowServer, run: WaitingRun) -> WaitingRun:
    """Return a run with the time at which its flow server is started for it."""
    if not record.gave_up_at:
        return run
    again = datetime.fromtimestamp(record.gave_up_at, UTC) + timedelta(seconds=AGAIN_S)
    return replace(run, at=max(run.at, again))


def starts_since(record: FlowServer, boot: str) -> int:
    """Return how many starts came online after this one."""
    if record.boot == boot:
        return 0
    later = record.fenced
    return len(later) - later.index(boot) if boot in later else 1


def why_silent(starts: int, address: str, *, is_seen: bool) -> str:
    """Return the likely cause why a flow server that was started asks for no work.

    Args:
        starts: how many starts of it came online since it was woken.
        address: its address, which names its app.
        is_seen: whether its launcher sent any request since it was woken.
    """
    if starts > 1:
        what = f"it started {starts} times, and its command ended before it asked for work"
    elif starts or is_seen:
        what = (
            "its command runs and asks for no work: it hangs, or neither calls `serve()` nor "
            "starts a worker"
        )
    else:
        what = "its machine starts, and did not announce itself here"
    return f"{what}; see {_log_of(address)}"


def _log_of(address: str) -> str:
    app, dot, _ = (urlsplit(address).hostname or "").partition(".flycast")
    return f"its log, `fly logs -a {app}`" if dot else "its log"
