"""`roost github drift-issues`: one issue for each environment that differs, kept up to date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from roost.errors import (
    ExitCode,
    GitHubError,
    GitHubForbiddenError,
    GitHubUnauthorizedError,
    GitHubUnavailableError,
    UsageError,
)
from roost.github.actions import runner_of
from roost.github.api import GitHub, github_of
from roost.github.models import Issue
from roost.operations.context import Context
from roost.report.drift import SUMMARY, DriftResult, ErrorFound, RunResult
from roost.report.issue import (
    LABEL,
    LABEL_COLOR,
    LABEL_TEXT,
    Change,
    Seen,
    changes,
    known_issues,
    topics,
)

MAX_BYTES = 8 * 2**20
"""A result of an environment has a few thousand."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}", re.ASCII)
_STATES: dict[str, Literal["open", "closed"]] = {"open": "open", "closed": "closed"}
_UNREADABLE = ErrorFound(word="result", message="What was found cannot be read; see the run.")
_NO_RESULT = ErrorFound(
    word="not-put-back", message="The job that was to put it back did not come so far; see the run."
)
M = TypeVar("M", bound=BaseModel)


async def drift_issues(
    context: Context,
    results: Path,
    *,
    healed: Path | None,
    before_healing: bool,
) -> ExitCode:
    """Bring the issues to what was found, and to what came of putting it back.

    Before the jobs that put back it tells what they leave: what is healed at once opens no issue.

    Drift is told by its issue, and ends well. It ends with 1 where an environment could not be
    looked at or put back: that is a run to look at.

    Raises:
        UsageError: there are no results.
        MissingTokenError: GITHUB_TOKEN is not set.
        GitHubError: an issue could not be read or written; the others were.
    """
    run = read_run(results)
    found = read_results(results, healed)
    if before_healing:
        found = to_tell_now(found, run)
    runner = runner_of(context.environ)
    seen = Seen(datetime.now(UTC), runner.run_url if runner else "")
    async with github_of(context.environ) as github:
        issues = await github.issues(LABEL)
        todo = changes(topics(found, run, known_issues(issues), seen), issues)
        failed: GitHubError | None = None
        for change in todo:
            try:
                context.out.print(await bring(github, change), markup=False, soft_wrap=True)
            except (GitHubForbiddenError, GitHubUnauthorizedError):
                raise  # what this token may not do once, it may not do again
            except GitHubError as error:
                failed = failed or error
    if failed:
        raise failed
    if not todo:
        context.out.print("There is no issue to open, to change or to close.")
    return ExitCode.ERROR if any(result.error for result in found) else ExitCode.DONE


async def bring(github: GitHub, change: Change) -> str:
    """Do what is to be done about one issue, and say so."""
    topic = change.topic
    for number in change.duplicates:
        await close_duplicate(github, number, change.number)
    if not change.number:
        return await open_once(github, change)
    state = _STATES.get(change.state)
    reason: Literal["completed", "reopened"] | None = (
        None if state is None else "completed" if state == "closed" else "reopened"
    )
    issue = await github.update_issue(
        change.number, body=topic.body, state=state, state_reason=reason
    )
    if change.comment:
        await github.create_comment(change.number, change.comment)
    return f"{topic.title}: {change.word} #{issue.number} {issue.url}"


async def open_once(github: GitHub, change: Change) -> str:
    """Open an issue; where somebody else did so meanwhile, keep theirs.

    Raises:
        GitHubUnavailableError: the answer was lost, and no issue came to be.
    """
    topic = change.topic
    await github.ensure_label(LABEL, LABEL_COLOR, LABEL_TEXT)
    made: Issue | None = None
    try:
        made = await github.create_issue(topic.title, topic.body, [LABEL])
    except GitHubUnavailableError as error:
        if not error.ambiguous or not await about(github, topic.about):
            raise
    found = await about(github, topic.about)
    first = found[0] if found else made
    if first is None:  # it was there a moment ago, and somebody took its label or its marker
        return f"{topic.title}: opened"
    if made is not None and made.number != first.number:
        await close_duplicate(github, made.number, first.number)
        return await bring(github, replace(change, number=first.number, state="open"))
    return f"{topic.title}: opened #{first.number} {first.url}"


async def about(github: GitHub, subject: str) -> tuple[Issue, ...]:
    """Return the issues about one thing, the oldest first."""
    return known_issues(await github.issues(LABEL)).get(subject, ())


async def close_duplicate(github: GitHub, number: int, first: int) -> None:
    """Close an issue that is the second about one thing."""
    await github.update_issue(number, state="closed", state_reason="not_planned")
    await github.create_comment(number, f"Duplicate of #{first}")


def read_run(folder: Path) -> RunResult:
    """Read what is about no single environment.

    Raises:
        UsageError: it is not there: nobody has looked.
    """
    run = _read(folder / f"{SUMMARY}.json", RunResult)
    if run is None:
        raise UsageError(
            f"There are no results of a look at all environments in {folder}.",
            advice="Run `roost github drift --results DIR` first, and give the same folder.",
        )
    return run


def read_results(folder: Path, healed: Path | None) -> tuple[DriftResult, ...]:
    """Read what was found of each environment; what came of putting it back takes its place."""
    found = {result.environment: result for result in _results(folder)}
    if healed is not None:
        back = {result.environment: result for result in _results(healed)}
        for name, before in found.items():
            if name in back:
                found[name] = _after(before, back[name])
            elif before.heal or before.end:
                found[name] = before.model_copy(update={"state": "error", "error": _NO_RESULT})
    return tuple(found[name] for name in sorted(found))


def to_tell_now(found: tuple[DriftResult, ...], run: RunResult) -> tuple[DriftResult, ...]:
    """Leave out what this run puts back at once; it is told once that is done.

    Where a protected environment is among those, the run may wait for its reviewer, for days: then
    everything is told now.
    """
    if any(result.protected for result in found if result.heal or result.end):
        return found
    orphaned = {orphan.environment for orphan in run.orphans}  # that is told of the same issue
    return tuple(r for r in found if not (r.heal or r.end) or r.environment in orphaned)


def _after(before: DriftResult, back: DriftResult) -> DriftResult:
    """Return what came of putting back; where that says only what went wrong, with what differed."""
    if back.error and not back.differences:
        return back.model_copy(update={"app": before.app, "differences": before.differences})
    return back


def _results(folder: Path) -> Iterator[DriftResult]:
    for path in sorted(folder.rglob("*.json")):  # each job's files may come in a folder of its own
        name = path.stem
        if name == SUMMARY or not _NAME.fullmatch(name):
            continue
        result = _read(path, DriftResult)
        if result is None or result.environment != name:
            result = DriftResult(environment=name, state="error", error=_UNREADABLE)
        yield result


def _read(path: Path, kind: type[M]) -> M | None:
    """Read a file that another job wrote; None for what is not there, too large or something else."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
