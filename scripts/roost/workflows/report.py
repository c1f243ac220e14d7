"""`roost github report`: write outcomes of a deploy into comments and issues, and record deployments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.environment.load import DEFAULTS, SUFFIXES, load_environment
from roost.environment.server_lock import FOLDER as LOCKS
from roost.errors import (
    ExitCode,
    GitHubError,
    GitHubForbiddenError,
    GitHubRateLimitedError,
    GitHubUnauthorizedError,
    RoostError,
)
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.operations.artifacts import read_documents
from roost.operations.context import Context
from roost.report.comment import outcome_section, with_outcomes
from roost.report.markdown import text
from roost.report.notice import deploy_notices
from roost.report.outcome import DeployOutcome, missing, read_outcome
from roost.workflows.artifact_hashes import OPEN, PROTECTED, named
from roost.workflows.deploy_issues import update_issues
from roost.workflows.deployments import Proved, proved_by, record
from roost.workflows.job import need_runner
from roost.workflows.merges import PUSH, merged_pull, newest_pull, pulls_of_push
from roost.workflows.notify import hand_on
from roost.workflows.open_pull import path_in_repository
from roost.workflows.pr_comment import MergedPull, read_merged_pull
from roost.workflows.rest import left_line

WORKFLOW = "deploy"


async def report(context: Context, results: Path) -> ExitCode:
    """Write the outcomes into the comments of the pull requests, and record deployments.

    A deploy that failed opens the issue of its environment, and the next good one closes it.

    The outcome of a deploy by hand is written where the environment was changed last.

    ENVIRONMENTS lists all environments to deploy, because a job that was rejected, skipped or
    cancelled leaves no outcome. OPEN and PROTECTED list those that had a job.

    Returns:
        ERROR where environments were left without a job.

    Raises:
        UsageError: this is no run of a workflow, or a list of environments cannot be read.
        BadDocumentError: a file of another job is no outcome.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    documents = read_documents(results)
    known = [read_outcome(document, name) for name, document in documents.items()]
    left = _left(context)
    silent = _silent(named(context.environ), known, left, runner.run_url)
    if silent:
        # The deploy jobs added the others to the page themselves.
        runner.summary(outcome_section(silent))
    if left:
        message = left_line(left, WORKFLOW)
        runner.summary(text(message))
        context.out.print(message, markup=False, soft_wrap=True)
    names = ", ".join(o.environment for o in silent if o.environment not in left)
    if names:
        context.out.print(f"Not deployed, as its job did not get so far: {names}.", soft_wrap=True)
    outcomes = [*known, *silent]
    if not outcomes:
        context.out.print("Nothing was deployed: there is nothing to report.")
        return ExitCode.DONE
    hand_on(context, runner, deploy_notices(outcomes, runner.run_url))
    async with github_of(context.environ) as github:
        failed = await _record(context, github, proved_by(outcomes, runner), runner)
        places = await _places(context, github, runner, outcomes)
        for place in places:
            await _update_comment(context, github, place)
        if not places:
            context.out.print("No pull request with a plan brought this commit.")
        asked = {
            o.environment: place.merged.pull.number for place in places for o in place.outcomes
        }
        unwritten = await update_issues(context, github, runner, outcomes, asked)
    if error := failed or unwritten:
        raise error
    return ExitCode.ERROR if left else ExitCode.DONE


def _left(context: Context) -> tuple[str, ...]:
    """Return the environments to deploy that this run has no job for.

    Raises:
        UsageError: a list of environments cannot be read.
    """
    environ = context.environ
    if PROTECTED not in environ:  # which ones had a job is not known
        return ()
    jobs = {*named(environ, OPEN), *named(environ, PROTECTED)}
    return tuple(name for name in named(environ) if name not in jobs)


async def _record(
    context: Context, github: GitHub, proved: Iterable[Proved], runner: Runner
) -> GitHubError | None:
    """Record the deployments; return the first error, after trying the others."""
    failed: GitHubError | None = None
    for found in proved:
        try:
            message = await record(github, runner, found)
            context.out.print(message, markup=False, soft_wrap=True)
        except (GitHubForbiddenError, GitHubUnauthorizedError, GitHubRateLimitedError) as error:
            return error  # the others would fail too
        except GitHubError as error:
            failed = failed or error
    return failed


@dataclass(frozen=True)
class _Place:
    """A comment to update.

    Args:
        merged: the pull request.
        outcomes: the outcomes that its comment is about.
    """

    merged: MergedPull
    outcomes: tuple[DeployOutcome, ...]


async def _places(
    context: Context, github: GitHub, runner: Runner, outcomes: Sequence[DeployOutcome]
) -> list[_Place]:
    """Find the comments that are about these outcomes."""
    if runner.event_name != PUSH:
        found = [
            _Place(merged, (outcome,))
            for outcome in outcomes
            if (merged := await _last_about(context, github, runner, outcome.environment))
        ]
    else:
        found = await _places_of_push(github, runner, outcomes)
    return [place for place in found if place.outcomes and place.merged.comment]


async def _places_of_push(
    github: GitHub, runner: Runner, outcomes: Sequence[DeployOutcome]
) -> list[_Place]:
    """Find the comments of a push's pull requests.

    A single pull request gets all outcomes, also of environments that could not be planned there.
    Where a queue merged several at once, each gets the outcomes that its comment is about.
    """
    newest = await newest_pull(github, runner)
    if newest is None:
        return []
    merged_pulls = [
        await read_merged_pull(github, p) async for p in pulls_of_push(github, runner, newest)
    ]
    if len(merged_pulls) == 1:
        return [_Place(merged_pulls[0], tuple(outcomes))]
    return [_Place(t, tuple(o for o in outcomes if t.knows(o.environment))) for t in merged_pulls]


async def _last_about(
    context: Context, github: GitHub, runner: Runner, name: str
) -> MergedPull | None:
    """Find the last pull request that changed an environment, for a deploy by hand."""
    for sha in (runner.sha, *await _changes(context, github, runner, name)):
        pull = await merged_pull(github, runner, sha)
        merged = await read_merged_pull(github, pull) if pull else None
        if merged is not None and merged.knows(name):
            return merged
    return None


async def _changes(context: Context, github: GitHub, runner: Runner, name: str) -> list[str]:
    """Return the last commit of each file that an environment depends on, the newest first."""
    files = [f"{name}{suffix}" for suffix in SUFFIXES]
    paths = [path_in_repository(f) for f in files if (context.environments / f).exists()]
    paths += [path_in_repository(DEFAULTS), "deploy", *_beside(context, name)]
    found = [await github.last_change(path, runner.sha) for path in paths]
    dated = {c.sha: c.committed_at for c in found if c is not None and c.committed_at is not None}
    return sorted(dated, key=lambda sha: dated[sha], reverse=True)


def _beside(context: Context, name: str) -> tuple[str, ...]:
    """Return what an environment names beside its file: flows, objects, SOPS files; none if invalid."""
    try:
        environment = load_environment(name, context.environments).environment
    except RoostError:
        return ()
    objects = [environment.prefect.objects] if environment.prefect.objects else []
    flows = dict.fromkeys(entry.path for entry in environment.flows)
    locks = [path_in_repository(f"{LOCKS}/{name}.txt")] if environment.prefect.extras else []
    return (*flows, *objects, *locks, *environment.sops_files)


async def _update_comment(context: Context, github: GitHub, place: _Place) -> None:
    """Write outcomes into a comment, unless somebody else edited it."""
    merged, comment = place.merged, place.merged.comment
    if comment is None:
        return
    if merged.stranger:
        message = f"Did not update {comment.url}, because {merged.stranger} edited it."
    else:
        body = with_outcomes(comment.body, place.outcomes, in_time=merged.in_time)
        await github.update_comment(comment.id, body)
        message = f"Updated {comment.url}"
    context.out.print(message, markup=False, soft_wrap=True)


def _silent(
    names: Iterable[str], outcomes: Iterable[DeployOutcome], left: Sequence[str], run_url: str
) -> list[DeployOutcome]:
    """Return an outcome for each environment whose job left none, or that had no job."""
    known = {outcome.environment for outcome in outcomes}
    return [missing(n, run_url, had_job=n not in left) for n in names if n not in known]
