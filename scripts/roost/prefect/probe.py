"""Prove a Prefect server good, from outside: named checks, each with its time, limit and advice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import anyio
import httpx

from roost.prefect.admit_traffic import check_opened
from roost.prefect.causes import find_cause
from roost.prefect.database_check import check_database
from roost.prefect.events_check import NOT_KEPT, check_events
from roost.prefect.read_checks import (
    check_auth_closed,
    check_costly_pages,
    check_health,
    check_ready,
    check_ui,
    check_version,
)
from roost.prefect.server import NOT_PREFECT, CheckFailedError, Server, with_csrf
from roost.prefect.write_checks import check_flow_run, check_scheduler

__all__ = [
    "CHECKS",
    "DATABASE",
    "OPENING",
    "Check",
    "CheckResult",
    "Server",
    "prove",
    "run_check",
    "select_checks",
]

Action = Callable[[Server], Awaitable[str]]


@dataclass(frozen=True)
class CheckResult:
    """How one check went."""

    name: str
    ok: bool
    seconds: float
    limit_s: float
    detail: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """One thing to prove: `action` returns a detail or raises CheckFailedError.

    Args:
        name: as people and scripts read it.
        limit_s: the check fails when it takes longer.
        action: looks at the server.
        advice: what to do when it took longer, or got no answer.
        ours_only: only our image promises it.
        needs_login: it means nothing without credentials.
        vital: no later check can mean anything if this one fails.
    """

    name: str
    limit_s: float
    action: Action
    advice: str
    ours_only: bool = False
    needs_login: bool = False
    vital: bool = False


_SLOW = "The server is slow. Give it more CPU or memory."

DATABASE = Check("database", 30, check_database, _SLOW, vital=True)
"""Vital, so that no check writes into a database that is not the server's own."""

CHECKS: tuple[Check, ...] = (
    Check(
        "health",
        120,
        check_health,
        "The server does not come up. Look at its log.",
        vital=True,
    ),
    Check(
        "ready",
        30,
        check_ready,
        "The database does not answer. Look at the server's log and at its connection URL.",
        vital=True,
    ),
    Check("auth closed", 15, check_auth_closed, _SLOW, needs_login=True),
    Check("version", 15, check_version, _SLOW),
    DATABASE,
    Check("costly pages closed", 30, check_costly_pages, _SLOW, ours_only=True),
    Check("ui", 30, check_ui, _SLOW),
    Check(
        "flow run", 60, check_flow_run, "The database is slow or locked. Look at the server's log."
    ),
    Check("events", 30, check_events, NOT_KEPT),
    Check(
        "scheduler",
        20,
        check_scheduler,
        "Schedules make no runs. Look at the server's log. In an image that Roost does not build, a "
        "SQLAlchemy newer than its Prefect knows ends the scheduler.",
    ),
)

OPENING = Check(
    "opened to all",
    15,
    check_opened,
    "The server was proved good, and opens by itself in 15 minutes. Look at its log.",
)
"""The gate's last word to a server of our image that passed every other check."""


def select_checks(*, login: bool, stock: bool) -> tuple[Check, ...]:
    """Leave out what cannot be asked of this server."""
    return tuple(
        check
        for check in CHECKS
        if (login or not check.needs_login) and not (stock and check.ours_only)
    )


async def prove(
    server: Server, checks: tuple[Check, ...], clock: Callable[[], float]
) -> AsyncIterator[CheckResult]:
    """Run the checks in order; a vital one that fails ends the proof."""
    ready = server
    for check in checks:
        result = await find_cause(ready, await run_check(check, ready, clock))
        yield result
        if check.vital and not result.ok:
            return
        if check.name == "ready":
            ready = await with_csrf(server)


async def run_check(check: Check, server: Server, clock: Callable[[], float]) -> CheckResult:
    """Run one check within its limit; whatever the server does becomes a result."""
    began = clock()
    server.waiting.last = ""
    try:
        with anyio.fail_after(check.limit_s):
            detail = await check.action(server)
    except CheckFailedError as finding:
        name = finding.name or check.name
        return _failed(check, clock() - began, finding.detail, finding.advice, name)
    except TimeoutError:
        last = f": {server.waiting.last}" if server.waiting.last else ""
        return _failed(check, clock() - began, f"not within {check.limit_s:g} s{last}")
    except httpx.HTTPError as failure:
        return _failed(check, clock() - began, f"{type(failure).__name__} {failure}".strip())
    except NOT_PREFECT as surprise:
        detail = f"answered something else than Prefect does ({type(surprise).__name__})"
        advice = "Is this a Prefect server of a supported version?"
        return _failed(check, clock() - began, detail, advice)
    return CheckResult(
        check.name, ok=True, seconds=clock() - began, limit_s=check.limit_s, detail=detail
    )


def _failed(
    check: Check, seconds: float, detail: str, advice: str = "", name: str = ""
) -> CheckResult:
    return CheckResult(
        name or check.name,
        ok=False,
        seconds=seconds,
        limit_s=check.limit_s,
        detail=detail,
        advice=advice or check.advice,
    )
