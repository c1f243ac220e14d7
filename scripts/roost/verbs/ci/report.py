"""`roost github report`: a merged pull request's comment says what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from roost.errors import ExitCode
from roost.github.api import github_of
from roost.report.comment import outcome_section, with_outcomes
from roost.report.outcome import Outcome, missing, read_outcome
from roost.verbs.ci.handed import named
from roost.verbs.ci.propose import need_runner
from roost.verbs.ci.thread import find_comment, merged_pull
from roost.verbs.context import Context
from roost.verbs.documents import read_documents


async def report(context: Context, results: Path) -> ExitCode:
    """Bring the comment to its final state; a push without a pull request has none.

    ENVIRONMENTS lists all that were to be deployed: a job that was rejected, skipped or cut short
    leaves nothing, and would else be told nowhere.

    Raises:
        UsageError: this is no run of a workflow, or the list is none.
        BadDocumentError: what another job left is not what it should be.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    documents = read_documents(results)
    told = [read_outcome(document, name) for name, document in documents.items()]
    silent = _silent(named(context.environ), told, runner.run_url)
    if silent:
        # The other jobs put theirs there themselves.
        runner.summary(outcome_section(silent))
        names = ", ".join(outcome.environment for outcome in silent)
        context.out.print(f"Not deployed, as its job did not get so far: {names}.", soft_wrap=True)
    outcomes = [*told, *silent]
    if not outcomes:
        context.out.print("Nothing was deployed: there is nothing to report.")
        return ExitCode.DONE
    async with github_of(context.environ) as github:
        pull = await merged_pull(github, runner.sha)
        comment = await find_comment(github, pull.number) if pull else None
        if pull is None or comment is None:
            context.out.print("No pull request with a plan brought this commit.")
            return ExitCode.DONE
        await github.update_comment(comment.id, with_outcomes(comment.body, outcomes))
    context.out.print(f"Told at {comment.url}", soft_wrap=True)
    return ExitCode.DONE


def _silent(names: Iterable[str], told: Iterable[Outcome], run_url: str) -> list[Outcome]:
    """Give an outcome for each environment whose job told none."""
    known = {outcome.environment for outcome in told}
    return [missing(name, run_url) for name in names if name not in known]
