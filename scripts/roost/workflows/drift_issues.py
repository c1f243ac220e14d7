"""`roost github drift-issues`: keep one issue up to date for each environment with drift."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from roost.errors import (
    ExitCode,
    UsageError,
)
from roost.errors.command import Command
from roost.github.actions import runner_of
from roost.github.api import github_of
from roost.operations.context import Context
from roost.report.drift import SUMMARY, DriftResult, ErrorFound, RunResult
from roost.report.issue import (
    LABEL,
    Seen,
    changes,
    known_issues,
    topics,
)
from roost.report.notice import drift_notices
from roost.report.standing_issues import standing_topics
from roost.workflows.issue_changes import bring_all
from roost.workflows.notify import hand_on

MAX_BYTES = 8 * 2**20
"""The result of an environment has a few thousand bytes."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}", re.ASCII)
_UNREADABLE = ErrorFound(word="result", message="The result cannot be read; see the run.")
_NO_RESULT = ErrorFound(
    word="not-put-back",
    message="The job that restores it ended before it wrote a result; see the run.",
)
M = TypeVar("M", bound=BaseModel)


async def drift_issues(
    context: Context,
    results: Path,
    *,
    healed: Path | None,
    before_healing: bool,
) -> ExitCode:
    """Update the issues with the results of the comparison and of healing.

    With `before_healing` it reports only drift that the healing jobs leave: what is healed at once
    opens no issue.

    Returns:
        ERROR where an environment could not be read or restored; drift itself is no error.

    Raises:
        UsageError: there are no results.
        MissingTokenError: GITHUB_TOKEN is not set.
        GitHubError: an issue could not be read or written; the others were.
    """
    run = read_run(results)
    every = read_results(results, healed)
    found = to_report_now(every, run) if before_healing else every
    runner = runner_of(context.environ)
    seen = Seen(datetime.now(UTC), runner.run_url if runner else "")
    async with github_of(context.environ) as github:
        issues = await github.issues(LABEL)
        known = known_issues(issues)
        later = {result.environment for result in every} - {r.environment for r in found}
        standing = standing_topics(every, run, known, seen, later)
        todo = changes((*topics(found, run, known, seen), *standing), issues)
        hand_on(context, runner, drift_notices(todo, every, seen.run_url))
        failed = await bring_all(context, github, todo)
    if failed:
        raise failed
    if not todo:
        context.out.print("There is no issue to open, to change or to close.")
    return ExitCode.ERROR if any(result.error for result in found) else ExitCode.DONE


def read_run(folder: Path) -> RunResult:
    """Read the part of the results that belongs to no single environment.

    Raises:
        UsageError: there is none, because nothing was compared.
    """
    run = _read(folder / f"{SUMMARY}.json", RunResult)
    if run is None:
        raise UsageError(
            f"There are no results of a comparison of all environments in {folder}.",
            advice=f"Run `{Command('github', 'drift', '--results', 'DIR')}` first, and give the same folder.",
        )
    return run


def read_results(folder: Path, healed: Path | None) -> tuple[DriftResult, ...]:
    """Read the result of each environment, replaced by that of healing where it was to be healed.

    A job looks at the server and at every flow server of its environment. What it reports of one that
    it was not to heal lacks who heals it instead, so the first result stays.
    """
    found = {result.environment: result for result in _results(folder)}
    if healed is not None:
        back = {result.environment: result for result in _results(healed)}
        for name, before in found.items():
            if not (before.heal or before.end):
                continue
            if name in back:
                found[name] = _after(before, back[name])
            else:
                found[name] = before.model_copy(update={"state": "error", "error": _NO_RESULT})
    return tuple(found[name] for name in sorted(found))


def to_report_now(found: tuple[DriftResult, ...], run: RunResult) -> tuple[DriftResult, ...]:
    """Return the results without those that this run heals at once; they are reported afterwards.

    Where a protected environment is among those, the run may wait for a reviewer for days, so
    everything is reported now.
    """
    if any(result.protected for result in found if result.heal or result.end):
        return found
    orphaned = {orphan.environment for orphan in run.orphans}  # reported in the same issue
    return tuple(r for r in found if not (r.heal or r.end) or r.environment in orphaned)


def _after(before: DriftResult, back: DriftResult) -> DriftResult:
    """Return the result of healing; an error without differences keeps the former ones.

    A job that heals does not look whether the server is down: what it did not heal stays so.
    """
    if back.state not in {"healed", "clean"}:
        back = back.model_copy(update={"down": before.down})
    if back.error and not back.differences:
        return back.model_copy(update={"app": before.app, "differences": before.differences})
    return back


def _results(folder: Path) -> Iterator[DriftResult]:
    for path in sorted(folder.rglob("*.json")):  # each job's files may be in a folder of their own
        name = path.stem
        if name == SUMMARY or not _NAME.fullmatch(name):
            continue
        result = _read(path, DriftResult)
        if result is None or result.environment != name:
            result = DriftResult(environment=name, state="error", error=_UNREADABLE)
        yield result


def _read(path: Path, kind: type[M]) -> M | None:
    """Read a file that another job wrote; None where it is missing, too large or malformed."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
