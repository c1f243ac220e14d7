"""Prove from outside that a Prefect server is healthy: named checks with limits and hints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

import anyio
import httpx

from roost.prefect.events_check import NOT_KEPT, check_events
from roost.prefect.gate_pages import API_PATH, ask_report, ask_setting, check_opened
from roost.prefect.read_checks import (
    check_auth_closed,
    check_costly_pages,
    check_database,
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
    "SelectChecks",
    "Server",
    "prove",
    "run_check",
    "select_checks",
]

Action = Callable[[Server], Awaitable[str]]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    name: str
    ok: bool
    seconds: float
    limit_s: float
    detail: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """One check: `action` returns a detail or raises CheckFailedError.

    Args:
        name: for people and scripts.
        limit_s: the check fails when it takes longer.
        action: checks the server.
        advice: the hint for a check that took longer, or got no answer.
        ours_only: only our image must pass it.
        needs_login: it needs credentials.
        vital: the later checks are left out if this one fails.
    """

    name: str
    limit_s: float
    action: Action
    advice: str
    ours_only: bool = False
    needs_login: bool = False
    vital: bool = False


_SLOW = "The server is slow. Give it more CPU or memory."
_SCHEDULER_OFF = (
    "The scheduler is off: PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED is false, set under this or "
    "another name. Remove it, and pause the schedules that must not run."
)

DATABASE = Check("database", 30, check_database, _SLOW, vital=True)
"""Vital, so that no check writes into a database that is not the one of its file."""

CHECKS: tuple[Check, ...] = (
    Check(
        "health",
        120,
        check_health,
        "The server does not start. Look at its log.",
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
        "The scheduler creates no runs. Look at the server's log. In an image that Roost does not build, a "
        "SQLAlchemy too new for its Prefect stops the scheduler.",
    ),
)

OPENING = Check(
    "opened to all",
    15,
    check_opened,
    "The server passed its checks, and opens by itself in 15 minutes. Look at its log.",
)
"""Run by the gate at the end, on a server of our image that passed every other check."""


class SelectChecks(Protocol):
    """Returns the checks that apply to a server."""

    def __call__(self, *, login: bool, stock: bool) -> tuple[Check, ...]:
        """Return them for a server with or without a login, of our image or stock."""


def select_checks(*, login: bool, stock: bool) -> tuple[Check, ...]:
    """Return the checks that apply to a server with or without a login, of our image or stock."""
    return tuple(
        check
        for check in CHECKS
        if (login or not check.needs_login) and not (stock and check.ours_only)
    )


async def prove(
    server: Server, checks: tuple[Check, ...], clock: Callable[[], float]
) -> AsyncIterator[CheckResult]:
    """Run the checks in order; a vital one that fails is the last."""
    ready = server
    for check in checks:
        result = await _with_cause(ready, await run_check(check, ready, clock))
        yield result
        if check.vital and not result.ok:
            return
        if check.name == "ready":
            ready = await with_csrf(server)


async def run_check(check: Check, server: Server, clock: Callable[[], float]) -> CheckResult:
    """Run one check within its limit; every error becomes a failed result."""
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


async def _with_cause(server: Server, result: CheckResult) -> CheckResult:
    """Return a failed check with the advice for its cause, where the server's own settings show it."""
    if result.ok:
        return result
    advice = ""
    if result.name == "scheduler":
        enabled = await ask_setting(server, "server", "services", "scheduler", "enabled")
        advice = _SCHEDULER_OFF if enabled is False else ""
    elif result.name == "health":
        advice = await _path_advice(server)
    return replace(result, advice=advice) if advice else result


async def _path_advice(server: Server) -> str:
    report = await ask_report(server)
    if report is None or report.api_path in ("", API_PATH):
        return ""
    return (
        f"Its API is under {report.api_path}, where neither the gate nor Fly's checks look for it. "
        "Remove PREFECT_SERVER_API_BASE_PATH."
    )
