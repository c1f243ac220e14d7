"""Check that a pull request's comment shows people what its hidden first line approves. Pure.

Any workflow of a branch can write the comment as GitHub's bot, and anybody can compute the seals of the
first line. So a step counts as approved only if people could read it: in the one section of its
environment, in exactly the row that the renderer writes for this step.

This refuses a comment with no plan or another plan, and a row that cannot be seen: in an HTML comment,
a folded part, a diagram, a link's title, a cell that a table drops, or behind blank lines. For that,
the whole comment may contain only markup that the renderer uses.

This does not refuse a comment whose true rows stand beside false sentences, such as a headline that
says that nothing changes, nor one written after the merge, which other checks refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from roost.plan.approval import Need
from roost.plan.steps import Plan
from roost.report.comment import plan_and_outcomes
from roost.report.plan_layout import PLAN_HEADING
from roost.report.plan_rows import (
    TABLE_HEAD,
    TABLE_RULE,
    boot_start,
    row_ends,
    row_start,
    secret_cell,
)
from roost.report.plan_section import MANY_STEPS, environment_start, section_start, unchecked_secret

_FOLDED = re.compile(
    rf"^<details><summary>(\d+) steps</summary>\n\n"
    rf"({re.escape(TABLE_HEAD)}\n{re.escape(TABLE_RULE)}\n(?:\|.*\n)+)\n</details>$",
    re.MULTILINE,
)
_CODE = re.compile(r"`[^`|]+`")
_LINK = re.compile(r"(?<!!)\[[A-Za-z ]+\]\(https?://[A-Za-z0-9._:/-]+\)")
_TAG = re.compile(r"</?code>")
_ENTITY = re.compile(r"&#?\w+;")
_RULE = re.compile(r"\|(?:---\|)+")
_BREAK = "<br>"
_PLACEHOLDER = "x"
_FOREIGN = frozenset("`<>[]\\~$")
"""Characters that the renderer writes as entities, outside the patterns above."""
_INVISIBLE_SPACE = "\u200b"
"""Written after `@` and `#`, so that GitHub notifies nobody."""
_BARS = 4
"""The bars of a row with three cells. GitHub does not show further cells."""


@dataclass(frozen=True)
class Visible:
    """The sections of a comment, each as its lines with the heading first.

    Args:
        sections: in their order; empty if the comment has anything that the workflow does not write.
    """

    sections: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, body: str) -> Visible:
        """Read a comment, its hidden first line included."""
        plan, outcomes = plan_and_outcomes(body.replace("\r\n", "\n"))
        unfolded = _FOLDED.sub(_unfolded, plan)
        lines = unfolded.split("\n")
        is_whole = lines[0] == PLAN_HEADING and "\n\n\n\n" not in unfolded
        if not is_whole or not all(map(_is_plain, (*lines, *outcomes.split("\n")))):
            return cls()
        return cls(tuple(_sections(lines)))

    def shows(self, need: Need, plan: Plan) -> bool:
        """Return whether people can read a need of a plan in the comment.

        Args:
            need: a need of the plan.
            plan: the plan as read from its JSON document.
        """
        of_it = environment_start(plan.environment)
        found = [s for s in self.sections if re.match(rf"{re.escape(of_it)}(?: \(|: )", s[0])]
        if len(found) != 1 or not found[0][0].startswith(section_start(plan)):
            return False
        if need.secret:
            return _shows_secret(found[0], need)
        start = row_start(need.step.key)
        ends = [end for step in plan.steps if step.key == need.step.key for end in row_ends(step)]
        return any(_is_row(row, start, end) for row in _rows(found[0]) for end in ends)


def _unfolded(found: re.Match[str]) -> str:
    """Unfold a table that is folded as the renderer does; leave any other one folded."""
    rows = found[2].count("\n") - 2
    return found[2] if rows == int(found[1]) > MANY_STEPS else found[0]


def _is_plain(line: str) -> bool:
    """Return whether a line has only the renderer's markup, and visible text."""
    if not line or _RULE.fullmatch(line):
        return True
    if line[0] in " <" or "``" in line or not line.replace(_INVISIBLE_SPACE, "").isprintable():
        return False
    rest = _TAG.sub("", _LINK.sub(_PLACEHOLDER, _CODE.sub(_PLACEHOLDER, line)))
    rest = rest.replace(_BREAK, "") if line[0] == "|" else rest.removeprefix("> ")
    return _FOREIGN.isdisjoint(rest) and any(map(str.isalnum, _ENTITY.sub("", rest)))


def _sections(lines: list[str]) -> Iterator[tuple[str, ...]]:
    starts = [number for number, line in enumerate(lines) if line.startswith("### ")]
    for start, end in pairwise((*starts, len(lines))):
        yield tuple(lines[start:end])


def _rows(section: tuple[str, ...]) -> Iterator[str]:
    """Yield the rows of the tables of steps whose cells are all visible."""
    inside = False
    for number, line in enumerate(section):
        inside = inside and line.startswith("|")
        if inside and line.count("|") == _BARS:
            yield line
        if section[number - 2 : number + 1] == ("", TABLE_HEAD, TABLE_RULE):
            inside = True


def _is_row(row: str, start: str, end: str) -> bool:
    """Return whether a row has this start and end, and only permitted lines between them."""
    if not (row.startswith(start) and row.endswith(end) and len(row) >= len(start) + len(end)):
        return False
    _, *lines = row[len(start) : -len(end)].split(_BREAK)
    return all(line.startswith(boot_start()) for line in lines)


def _shows_secret(section: tuple[str, ...], need: Need) -> bool:
    """Return whether a section shows a secret with its source, as one that is set or not checked."""
    if not need.source:
        return False
    shown = unchecked_secret(need.secret, need.source)
    listed = (line for line in section if line[:1] not in ("#", "|"))
    if any(f"{shown}{sign}" in line for line in listed for sign in (",", ".")):
        return True
    start, cell = row_start(need.step.key), secret_cell(need.secret, need.source)
    rows = (row for row in _rows(section) if row.startswith(start))
    return any(f"{_BREAK}{cell}{end}" in row for row in rows for end in (_BREAK, " |"))
