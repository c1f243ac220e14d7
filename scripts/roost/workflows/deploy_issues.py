"""Keep one issue for each environment whose deploy failed, until a deploy succeeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from roost.errors import GitHubError
from roost.github.actions import Runner
from roost.github.api import GitHub
from roost.operations.context import Context
from roost.report.deploy_issue import Known, deploy_topics, needs_issue
from roost.report.issue import LABEL, Seen, changes
from roost.report.outcome import DeployOutcome
from roost.workflows.deployments import proved_last
from roost.workflows.issue_changes import bring_all


async def update_issues(
    context: Context,
    github: GitHub,
    runner: Runner,
    outcomes: Sequence[DeployOutcome],
    asked: Mapping[str, int],
) -> GitHubError | None:
    """Open, update or close the issues about these outcomes; the job Notify sends the messages.

    Args:
        context: where to print.
        github: the connection.
        runner: this run.
        outcomes: the outcome of each environment.
        asked: the pull request that asked for the deploy, by environment, where one is known.

    Returns:
        The first error of GitHub, after trying the other issues.
    """
    try:
        known = {
            outcome.environment: Known(
                await proved_last(github, outcome.environment), asked.get(outcome.environment, 0)
            )
            for outcome in outcomes
            if needs_issue(outcome)
        }
        seen = Seen(datetime.now(UTC), runner.run_url)
        todo = changes(deploy_topics(outcomes, known, seen), await github.issues(LABEL))
        return await bring_all(context, github, todo)
    except GitHubError as error:
        return error
