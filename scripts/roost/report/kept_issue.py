"""An issue of which Roost keeps one: how it is known among all issues. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from roost.github.models import ACTIONS_BOT, Issue


@dataclass(frozen=True)
class KeptIssue:
    """One issue about one thing, known by its label and the first line of its text.

    Args:
        label: the label, which is made with this color and this text.
        color: six hexadecimal digits.
        about: the text of the label.
    """

    label: str
    color: str
    about: str

    @property
    def marker(self) -> str:
        """The first line of the text; it is not shown."""
        return f"<!-- {self.label} -->"

    def own(self, issues: Iterable[Issue]) -> tuple[Issue, ...]:
        """Return those that Roost wrote, the oldest first; anybody can write one like it."""
        found = (
            each for each in issues if each.author == ACTIONS_BOT and self.label in each.labels
        )
        ours = (each for each in found if each.body.startswith(self.marker) and not each.is_pull)
        return tuple(sorted(ours, key=lambda issue: issue.number))
