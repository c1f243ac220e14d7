"""`roost github report`: a merged pull request's comment says what came of it."""

from __future__ import annotations

from pathlib import Path

from roost.errors import ExitCode
from roost.github.api import github_of
from roost.report.comment import with_outcomes
from roost.report.outcome import read_outcome
from roost.verbs.ci.propose import need_runner
from roost.verbs.ci.thread import find_comment, merged_pull
from roost.verbs.context import Context
from roost.verbs.documents import read_documents


async def report(context: Context, results: Path) -> ExitCode:
    """Bring the comment to its final state; a push without a pull request has none.

    Raises:
        UsageError: this is no run of a workflow.
        BadDocumentError: what another job left is not what it should be.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    documents = read_documents(results)
    outcomes = [read_outcome(document, name) for name, document in documents.items()]
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
