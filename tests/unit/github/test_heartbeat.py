"""A schedule that does not run is told by whoever runs for another reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import httpx
import pytest

from roost.github.api import GitHub
from roost.github.heartbeat import look_for_schedule, missed_schedule
from roost.github.models import Workflow, WorkflowRun
from roost.secret_text import SecretText

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ON = Workflow(state="active", created_at=NOW - timedelta(days=100))


def ran(hours, conclusion="success", number=1):
    return WorkflowRun(
        id=number,
        event="schedule",
        status="completed",
        conclusion=conclusion,
        created_at=NOW - timedelta(hours=hours),
    )


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([ran(1)], ""),
        ([ran(26)], ""),
        ([ran(2, "failure"), ran(25)], ""),
        ([ran(1, ""), ran(25)], ""),
        ([ran(27)], "has not run since 2026-11-24 09:00 UTC."),
        ([ran(50), ran(30)], "has not run since 2026-11-24 06:00 UTC."),
        ([ran(3, "failure"), ran(27)], "has not succeeded since 2026-11-24 09:00 UTC."),
        ([ran(3, "failure")], "has not succeeded yet."),
        ([ran(1, "cancelled")], "has not succeeded yet."),
        ([], "has not run yet."),
    ],
)
def test_the_last_good_run_is_at_most_26_hours_old(runs, said):
    found = missed_schedule(runs, NOW, ON)

    assert bool(found) == bool(said)
    assert said in found
    assert not found or found.endswith("`gh workflow run drift.yml`")


def test_without_knowing_the_workflow_no_run_is_no_news():
    assert missed_schedule([], NOW) == ""


def test_a_new_workflow_has_a_day_to_run_first():
    assert missed_schedule([], NOW, Workflow(state="active", created_at=NOW)) == ""


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("disabled_inactivity", "because nothing was committed for 60 days"),
        ("disabled_manually", "Somebody has switched the drift schedule off"),
        ("disabled_fork", "this repository is a fork"),
        ("of_a_later_year", "is off (of_a_later_year)"),
    ],
)
def test_a_workflow_that_is_off_says_why_and_how_to_switch_it_on(state, why):
    found = missed_schedule([ran(1)], NOW, Workflow(state=state))

    assert why in found
    assert found.endswith("Switch it on again: `gh workflow enable drift.yml`")


def look(answers):
    """Look at a GitHub that answers so to each path's last part."""

    def answer(request):
        return answers[request.url.path.rpartition("/")[2]]

    async def ask():
        transport = httpx.MockTransport(answer)
        token = SecretText("t" * 20)
        async with GitHub("http://github.test", "acme/infra", token, transport=transport) as github:
            return await look_for_schedule(github, NOW)

    return anyio.run(ask)


def test_it_is_read_from_github():
    run = {"id": 1, "conclusion": "success", "created_at": "2026-11-20T04:37:00Z"}
    answers = {
        "drift.yml": httpx.Response(200, json={"state": "active"}),
        "runs": httpx.Response(200, json={"workflow_runs": [run]}),
    }

    assert "has not run since 2026-11-20 04:37 UTC." in look(answers)


def test_a_repository_without_a_schedule_misses_none():
    assert look({"drift.yml": httpx.Response(404, json={"message": "Not Found"})}) == ""
