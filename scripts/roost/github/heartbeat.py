"""Whether the schedule runs at all: GitHub ends it without a word when a repository is quiet for long.

A run that is not there tells nobody anything. So whoever runs for another reason looks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from roost.github.api import GitHub
from roost.github.models import Workflow, WorkflowRun

WORKFLOW = "drift.yml"
OVERDUE = timedelta(hours=26)
"""It runs twice a day, and GitHub starts it late when many do."""
LOOKED_AT = 30
_ACTIVE = "active"
_ENABLE = f"Switch it on again: `gh workflow enable {WORKFLOW}`"
_RUN = f"Run it by hand, and see why: `gh workflow run {WORKFLOW}`"
_OFF = {
    "disabled_inactivity": "GitHub has switched the schedule of drift off, because nothing was committed for 60 days",
    "disabled_manually": "Somebody has switched the schedule of drift off",
    "disabled_fork": "The schedule of drift does not run, because this repository is a fork",
    "deleted": "The workflow of drift was deleted",
}


async def look_for_schedule(github: GitHub, now: datetime, workflow: str = WORKFLOW) -> str:
    """Say in a sentence that the schedule does not run; nothing where it does.

    Raises:
        GitHubError: it could not be read, for which a job needs `actions: read`.
    """
    found = await github.workflow(workflow)
    if found is None:
        return ""  # this repository has no schedule
    runs = await github.workflow_runs(workflow, "schedule", per_page=LOOKED_AT)
    return missed_schedule(runs, now, found)


def missed_schedule(
    runs: Iterable[WorkflowRun], now: datetime, workflow: Workflow | None = None
) -> str:
    """Say in a sentence that the schedule has not run, or not ended well; nothing where it has.

    Args:
        runs: the newest ones that the schedule started.
        now: the time.
        workflow: whether it is on, and since when there is one.
    """
    if workflow is not None and workflow.state not in {_ACTIVE, ""}:
        why = _OFF.get(workflow.state, f"The schedule of drift is off ({workflow.state})")
        return f"{why}: nobody looks whether live is as the files ask. {_ENABLE}"
    found = tuple(runs)
    good = [run.created_at for run in found if run.conclusion == "success"]
    last = max(good, default=None)
    if last is not None and now - last <= OVERDUE:
        return ""
    if last is None and not found and _is_new(workflow, now):
        return ""
    since = f"since {last.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if last else "yet"
    what = "run" if not found or last == max(run.created_at for run in found) else "ended well"
    return f"The schedule of drift has not {what} {since}. {_RUN}"


def _is_new(workflow: Workflow | None, now: datetime) -> bool:
    """Return whether its first run may still be to come."""
    return workflow is None or workflow.created_at is None or now - workflow.created_at <= OVERDUE
