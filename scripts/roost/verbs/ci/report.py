"""`roost github report`: a merged pull request's comment says what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from roost.environment.load import FILE_NAME
from roost.errors import ExitCode, UsageError
from roost.github.api import github_of
from roost.report.comment import outcome_section, with_outcomes
from roost.report.outcome import Outcome, missing, read_outcome
from roost.verbs.ci.propose import need_runner
from roost.verbs.ci.thread import find_comment, merged_pull
from roost.verbs.context import Context
from roost.verbs.documents import read_documents


async def report(context: Context, results: Path, environments: str) -> ExitCode:
    """Bring the comment to its final state; a push without a pull request has none.

    Args:
        context: where things are.
        results: what the jobs that deploy left.
        environments: a JSON list of all that were to be deployed. A job that was rejected, skipped
            or cut short leaves nothing, and would else be told nowhere.

    Raises:
        UsageError: this is no run of a workflow, or the list is none.
        BadDocumentError: what another job left is not what it should be.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    documents = read_documents(results)
    told = [read_outcome(document, name) for name, document in documents.items()]
    silent = _silent(_names(environments), told, runner.run_url)
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


def _names(environments: str) -> tuple[str, ...]:
    """Read the list of what was to be deployed; empty where none was given.

    Raises:
        UsageError: it is no list of names. Taken for an empty one, it would hide what is missing.
    """
    try:
        found = json.loads(environments or "[]")
    except ValueError:
        found = None
    names = found if isinstance(found, list) else [None]
    if not all(isinstance(name, str) and FILE_NAME.fullmatch(name) for name in names):
        raise UsageError(
            "What was to be deployed is told by no JSON list of environments.",
            where="--environments",
            advice="Hand on the output `environments` of `roost github changed`.",
        )
    return tuple(names)


def _silent(names: Iterable[str], told: Iterable[Outcome], run_url: str) -> list[Outcome]:
    """Give an outcome for each environment whose job told none."""
    known = {outcome.environment for outcome in told}
    return [missing(name, run_url) for name in names if name not in known]
