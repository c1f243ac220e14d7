"""Keep one open issue about one thing, found by its label and the marker at its top."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from roost.github.api import GitHub
from roost.github.models import ACTIONS_BOT, Issue
from roost.report.markdown import text


@dataclass(frozen=True)
class Kind:
    """How the issues about one thing are known.

    Args:
        label: their label, which is made with this color and this text.
        color: six hexadecimal digits.
        about: the text of the label.
    """

    label: str
    color: str
    about: str

    @property
    def marker(self) -> str:
        """The first line of their text; it is not shown."""
        return f"<!-- {self.label} -->"

    def own(self, issues: Iterable[Issue]) -> tuple[Issue, ...]:
        """Return Roost's own issues of this kind, the oldest first; anybody can write one like it."""
        found = (
            each for each in issues if each.author == ACTIONS_BOT and self.label in each.labels
        )
        ours = (each for each in found if each.body.startswith(self.marker) and not each.is_pull)
        return tuple(sorted(ours, key=lambda issue: issue.number))


async def keep(github: GitHub, kind: Kind, title: str, body: str) -> Issue:
    """Keep one open issue with this title and text; `body` has no marker.

    Raises:
        GitHubError: GitHub refuses or fails.
    """
    whole = f"{kind.marker}\n{body}"
    known = kind.own(await github.issues(kind.label))
    if known:
        return await github.update_issue(known[0].number, title=title, body=whole, state="open")
    await github.ensure_label(kind.label, kind.color, kind.about)
    return await github.create_issue(title, whole, [kind.label])


async def close(github: GitHub, kind: Kind, why: str) -> None:
    """Close the issue, if one is open, and say why.

    Raises:
        GitHubError: GitHub refuses or fails.
    """
    for issue in kind.own(await github.issues(kind.label, "open")):
        await github.create_comment(issue.number, text(why))
        await github.update_issue(issue.number, state="closed", state_reason="completed")
