"""Open, update, close and reopen the issues that Roost keeps, each once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from roost.errors import (
    GitHubError,
    GitHubForbiddenError,
    GitHubUnauthorizedError,
    GitHubUnavailableError,
)
from roost.github.api import GitHub
from roost.github.models import Issue
from roost.operations.context import Context
from roost.report.issue import LABEL, LABEL_COLOR, LABEL_TEXT, Change, known_issues

_STATES: dict[str, Literal["open", "closed"]] = {"open": "open", "closed": "closed"}


async def bring_all(context: Context, github: GitHub, todo: Iterable[Change]) -> GitHubError | None:
    """Make the changes, and print a line about each; return the first error, after trying the others.

    Raises:
        GitHubForbiddenError: the token lacks the permission, so every change would fail.
        GitHubUnauthorizedError: GitHub does not accept the token.
    """
    failed: GitHubError | None = None
    for change in todo:
        try:
            context.out.print(await bring(github, change), markup=False, soft_wrap=True)
        except (GitHubForbiddenError, GitHubUnauthorizedError):
            raise  # the token lacks the permission for the other issues too
        except GitHubError as error:
            failed = failed or error
    return failed


async def bring(github: GitHub, change: Change) -> str:
    """Make one change of an issue, and return a sentence about it."""
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
    """Open an issue, or keep the one that another run opened meanwhile.

    Raises:
        GitHubUnavailableError: the answer was lost, and no issue was opened.
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
    if first is None:  # somebody removed its label or its marker meanwhile
        return f"{topic.title}: opened"
    if made is not None and made.number != first.number:
        await close_duplicate(github, made.number, first.number)
        return await bring(github, replace(change, number=first.number, state="open"))
    return f"{topic.title}: opened #{first.number} {first.url}"


async def about(github: GitHub, subject: str) -> tuple[Issue, ...]:
    """Return the issues about one subject, the oldest first."""
    return known_issues(await github.issues(LABEL)).get(subject, ())


async def close_duplicate(github: GitHub, number: int, first: int) -> None:
    """Close an issue that duplicates another one."""
    await github.update_issue(number, state="closed", state_reason="not_planned")
    await github.create_comment(number, f"Duplicate of #{first}")
