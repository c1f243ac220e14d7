"""Check that the drift schedule still runs: GitHub silently stops schedules of quiet repositories.

A schedule that is off cannot report that itself, so runs that start for another reason check it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from roost.github.api import GitHub
from roost.github.models import Workflow, WorkflowRun

WORKFLOW = "drift.yml"
OVERDUE = timedelta(hours=26)
"""The schedule runs twice a day, and GitHub starts it late at busy times."""
LOOKED_AT = 30
_ACTIVE = "active"
_ENABLE = f"Switch it on again: `gh workflow enable {WORKFLOW}`"
_RUN = f"Run it by hand and see why: `gh workflow run {WORKFLOW}`"
_OFF = {
    "disabled_inactivity": "GitHub has switched the drift schedule off, because nothing was committed for 60 days",
    "disabled_manually": "Somebody has switched the drift schedule off",
    "disabled_fork": "The drift schedule does not run, because this repository is a fork",
    "deleted": "The drift workflow was deleted",
}


async def look_for_schedule(github: GitHub, now: datetime, workflow: str = WORKFLOW) -> str:
    """Return a sentence that says why the schedule does not run; empty where it runs.

    Raises:
        GitHubError: the workflow could not be read; a job needs `actions: read` for that.
    """
    found = await github.workflow(workflow)
    if found is None:
        return ""  # this repository has no schedule
    runs = await github.workflow_runs(workflow, "schedule", per_page=LOOKED_AT)
    return missed_schedule(runs, now, found)


def missed_schedule(
    runs: Iterable[WorkflowRun], now: datetime, workflow: Workflow | None = None
) -> str:
    """Return a sentence where the schedule is off, or no run of it succeeded lately; else empty.

    Args:
        runs: the newest runs that the schedule started.
        now: the time.
        workflow: its state, and when it was created; None where that is unknown.
    """
    if workflow is not None and workflow.state not in {_ACTIVE, ""}:
        why = _OFF.get(workflow.state, f"The drift schedule is off ({workflow.state})")
        return f"{why}: nobody checks whether the servers match their files. {_ENABLE}"
    found = tuple(runs)
    good = [run.created_at for run in found if run.conclusion == "success"]
    last = max(good, default=None)
    if last is not None and now - last <= OVERDUE:
        return ""
    if last is None and not found and _is_new(workflow, now):
        return ""
    since = f"since {last.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if last else "yet"
    what = "run" if not found or last == max(run.created_at for run in found) else "succeeded"
    return f"The drift schedule has not {what} {since}. {_RUN}"


def _is_new(workflow: Workflow | None, now: datetime) -> bool:
    """Return whether the workflow is so new that its first run may not be due yet."""
    return workflow is None or workflow.created_at is None or now - workflow.created_at <= OVERDUE
