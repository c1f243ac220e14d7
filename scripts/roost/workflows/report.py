"""`roost github report`: what came of a deploy, in the merged pull request's comment and as a deployment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.environment.load import DEFAULTS, SUFFIXES
from roost.errors import (
    ExitCode,
    GitHubError,
    GitHubForbiddenError,
    GitHubRateLimitedError,
    GitHubUnauthorizedError,
)
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.operations.artifacts import read_documents
from roost.operations.context import Context
from roost.report.comment import outcome_section, with_outcomes
from roost.report.markdown import text
from roost.report.outcome import Outcome, missing, read_outcome
from roost.workflows.artifact_hashes import OPEN, PROTECTED, named
from roost.workflows.deployments import Proved, proved_by, record
from roost.workflows.job import need_runner
from roost.workflows.merges import PUSH, merged_pull, newest_pull, pulls_of_push
from roost.workflows.open_pull import path_in_repository
from roost.workflows.pr_comment import Thread, read_thread
from roost.workflows.rest import left_line

WORKFLOW = "deploy"


async def report(context: Context, results: Path) -> ExitCode:
    """Bring the comments to their final state; a push without a pull request has none.

    What was deployed and proved is recorded as a deployment of the commit.

    What came of a deploy by hand is told where the environment was changed last.

    ENVIRONMENTS lists all that were to be deployed: a job that was rejected, skipped or cut short
    leaves nothing, and would else be told nowhere. OPEN and PROTECTED list those that had a job;
    where others are left, it ends with 1.

    Raises:
        UsageError: this is no run of a workflow, or the list is none.
        BadDocumentError: what another job left is not what it should be.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    documents = read_documents(results)
    told = [read_outcome(document, name) for name, document in documents.items()]
    left = _left(context)
    silent = _silent(named(context.environ), told, left, runner.run_url)
    if silent:
        # The other jobs put theirs there themselves.
        runner.summary(outcome_section(silent))
    if left:
        said = left_line(left, WORKFLOW)
        runner.summary(text(said))
        context.out.print(said, markup=False, soft_wrap=True)
    names = ", ".join(o.environment for o in silent if o.environment not in left)
    if names:
        context.out.print(f"Not deployed, as its job did not get so far: {names}.", soft_wrap=True)
    outcomes = [*told, *silent]
    if not outcomes:
        context.out.print("Nothing was deployed: there is nothing to report.")
        return ExitCode.DONE
    async with github_of(context.environ) as github:
        failed = await _record(context, github, proved_by(outcomes, runner), runner)
        places = await _places(context, github, runner, outcomes)
        for place in places:
            await _tell(context, github, place)
    if not places:
        context.out.print("No pull request with a plan brought this commit.")
    if failed:
        raise failed
    return ExitCode.ERROR if left else ExitCode.DONE


def _left(context: Context) -> tuple[str, ...]:
    """Return the environments that were to be deployed, and that this run has no job for.

    Raises:
        UsageError: a list of environments is none.
    """
    environ = context.environ
    if PROTECTED not in environ:  # nobody says which there are
        return ()
    jobs = {*named(environ, OPEN), *named(environ, PROTECTED)}
    return tuple(name for name in named(environ) if name not in jobs)


async def _record(
    context: Context, github: GitHub, proved: Iterable[Proved], runner: Runner
) -> GitHubError | None:
    """Record the deployments; one that fails keeps no comment and no other record from being made."""
    failed: GitHubError | None = None
    for found in proved:
        try:
            said = await record(github, runner, found)
            context.out.print(said, markup=False, soft_wrap=True)
        except (GitHubForbiddenError, GitHubUnauthorizedError, GitHubRateLimitedError) as error:
            return error  # the next one would fare no better
        except GitHubError as error:
            failed = failed or error
    return failed


@dataclass(frozen=True)
class _Place:
    """Where outcomes are told.

    Args:
        thread: the pull request.
        outcomes: those that its comment is about.
    """

    thread: Thread
    outcomes: tuple[Outcome, ...]


async def _places(
    context: Context, github: GitHub, runner: Runner, outcomes: Sequence[Outcome]
) -> list[_Place]:
    """Find the comments that are about these outcomes."""
    if runner.event_name != PUSH:
        found = [
            _Place(thread, (outcome,))
            for outcome in outcomes
            if (thread := await _last_about(context, github, runner, outcome.environment))
        ]
    else:
        found = await _places_of_push(github, runner, outcomes)
    return [place for place in found if place.outcomes and place.thread.comment]


async def _places_of_push(
    github: GitHub, runner: Runner, outcomes: Sequence[Outcome]
) -> list[_Place]:
    """Find the comments of a push's pull requests.

    Of a single one all is told in its comment, even what could not be planned there. Of several that
    a queue merged at once each has what its comment is about.
    """
    newest = await newest_pull(github, runner)
    if newest is None:
        return []
    threads = [await read_thread(github, p) async for p in pulls_of_push(github, runner, newest)]
    if len(threads) == 1:
        return [_Place(threads[0], tuple(outcomes))]
    return [_Place(t, tuple(o for o in outcomes if t.knows(o.environment))) for t in threads]


async def _last_about(context: Context, github: GitHub, runner: Runner, name: str) -> Thread | None:
    """Find the pull request that changed an environment last, for a deploy by hand."""
    for sha in (runner.sha, *await _changes(context, github, runner, name)):
        pull = await merged_pull(github, runner, sha)
        thread = await read_thread(github, pull) if pull else None
        if thread is not None and thread.knows(name):
            return thread
    return None


async def _changes(context: Context, github: GitHub, runner: Runner, name: str) -> list[str]:
    """Return the last commit of each file that may decide what an environment is, the newest first."""
    files = [f"{name}{suffix}" for suffix in SUFFIXES]
    paths = [path_in_repository(f) for f in files if (context.environments / f).exists()]
    paths += [path_in_repository(DEFAULTS), "deploy"]
    found = [await github.last_change(path, runner.sha) for path in paths]
    dated = {c.sha: c.committed_at for c in found if c is not None and c.committed_at is not None}
    return sorted(dated, key=lambda sha: dated[sha], reverse=True)


async def _tell(context: Context, github: GitHub, place: _Place) -> None:
    """Bring a comment to its final state; what somebody else wrote stays theirs."""
    thread, comment = place.thread, place.thread.comment
    if comment is None:
        return
    if thread.stranger:
        told = f"Not told at {comment.url}, as {thread.stranger} edited it."
    else:
        body = with_outcomes(comment.body, place.outcomes, in_time=thread.in_time)
        await github.update_comment(comment.id, body)
        told = f"Told at {comment.url}"
    context.out.print(told, markup=False, soft_wrap=True)


def _silent(
    names: Iterable[str], told: Iterable[Outcome], left: Sequence[str], run_url: str
) -> list[Outcome]:
    """Return an outcome for each environment whose job told none, or that had no job."""
    known = {outcome.environment for outcome in told}
    return [missing(n, run_url, had_job=n not in left) for n in names if n not in known]
