"""Why a check failed, from what is true of the server instead of from a guess.

What is asked is what Prefect made of all its settings, whichever name they have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from roost.prefect.server_report import API_PATH, ask_report, ask_setting

if TYPE_CHECKING:
    from roost.prefect.probe import CheckResult
    from roost.prefect.server import Server

_SCHEDULER_OFF = (
    "The scheduler is off: its setting PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED is false, under "
    "this or another name. Remove it, and pause the schedules that must not run."
)
_UI_OFF = "The UI is off: remove PREFECT_SERVER_UI_ENABLED, or set it to true."


async def find_cause(server: Server, result: CheckResult) -> CheckResult:
    """Return a failed check with the advice that fits what the server shows of its settings."""
    if result.ok:
        return result
    advice = ""
    if result.name == "scheduler":
        enabled = await ask_setting(server, "server", "services", "scheduler", "enabled")
        advice = _SCHEDULER_OFF if enabled is False else ""
    elif result.name == "ui":
        advice = _UI_OFF if await ask_setting(server, "server", "ui", "enabled") is False else ""
    elif result.name == "health":
        advice = await _about_path(server)
    return replace(result, advice=advice) if advice else result


async def _about_path(server: Server) -> str:
    report = await ask_report(server)
    if report is None or report.api_path in ("", API_PATH):
        return ""
    return (
        f"Its API is under {report.api_path}, where neither the gate nor Fly's checks look for it. "
        "Remove PREFECT_SERVER_API_BASE_PATH."
    )
