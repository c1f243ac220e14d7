"""Keep one open issue about one thing: open it once, update it, open it again, close it."""

from __future__ import annotations

from typing import Literal, TypedDict

from roost.github.api import GitHub
from roost.github.models import Issue
from roost.report.kept_issue import KeptIssue
from roost.report.markdown import text


class _State(TypedDict, total=False):
    state: Literal["open"]
    state_reason: Literal["reopened"]


_OPEN_AGAIN: _State = {"state": "open", "state_reason": "reopened"}


async def keep(
    github: GitHub, kept: KeptIssue, title: str, body: str, *, renames: bool = True
) -> tuple[Issue, bool]:
    """Keep one open issue with this title and text; return it, and whether it was opened now.

    Others like it, which two runs may have opened at once, are closed.

    Args:
        github: the connection.
        kept: how it is known.
        title: its title.
        body: its text, with the marker or without.
        renames: whether one that is there gets the title, too; else it keeps what a person called it.

    Raises:
        GitHubError: GitHub refuses or fails.
    """
    whole = body if body.startswith(kept.marker) else f"{kept.marker}\n{body}"
    known = kept.own(await github.issues(kept.label))
    if not known:
        await github.ensure_label(kept.label, kept.color, kept.about)
        return await github.create_issue(title, whole, [kept.label]), True
    first, *others = known
    again: _State = {} if first.state == "open" else _OPEN_AGAIN
    name = title if renames else None
    issue = await github.update_issue(first.number, title=name, body=whole, **again)
    for other in others:
        if other.state == "open":
            await github.update_issue(other.number, state="closed", state_reason="not_planned")
    return issue, False


async def close(github: GitHub, kept: KeptIssue, why: str) -> None:
    """Close the issue, if one is open, and say why.

    Raises:
        GitHubError: GitHub refuses or fails.
    """
    for issue in kept.own(await github.issues(kept.label, "open")):
        await github.create_comment(issue.number, text(why))
        await github.update_issue(issue.number, state="closed", state_reason="completed")
