"""What a pull request's comment shows to people, held to what its hidden first line has sealed. Pure.

Any workflow of a branch can write the comment as GitHub's bot, and the seals of the first line can
be computed by anybody. So a step counts as approved only where people could read it: in the one
section of its environment, in the row that the renderer writes for this very step.

It stops a comment that shows no plan or another one, and a row that is there and cannot be seen: in
an HTML comment, a folded part, a diagram, a link's title, a cell that a table drops, or behind
blank lines. So all of the comment may hold only the markup that the renderer uses.

It does not stop a comment that shows the true rows among words that lie about them, such as a
headline that says that nothing changes, nor one that is written after the merge, when nobody looks.
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
"""What the renderer writes as entities, outside of what the patterns above know."""
_INVISIBLE_SPACE = "\u200b"
"""Stands behind `@` and `#`, so that nobody is notified."""
_BARS = 4
"""Of a row with three cells. GitHub drops cells that a table has no column for."""


@dataclass(frozen=True)
class Visible:
    """The sections of a comment, each as its lines with the heading first.

    Args:
        sections: in their order; none where anything stands there as the workflow does not write it.
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
        """Return whether people can read in it what a plan needs.

        Args:
            need: one that the plan has.
            plan: as a reader of its document has it, with the values that JSON has.
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
    """Unfold a table that is folded as the renderer folds one; leave any other, which is foreign."""
    rows = found[2].count("\n") - 2
    return found[2] if rows == int(found[1]) > MANY_STEPS else found[0]


def _is_plain(line: str) -> bool:
    """Return whether a line has only markup that the renderer uses, and something to see."""
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
    """Return the rows of the tables of steps, as far as a table shows all of their cells."""
    inside = False
    for number, line in enumerate(section):
        inside = inside and line.startswith("|")
        if inside and line.count("|") == _BARS:
            yield line
        if section[number - 2 : number + 1] == ("", TABLE_HEAD, TABLE_RULE):
            inside = True


def _is_row(row: str, start: str, end: str) -> bool:
    """Return whether a row has this start and end, and between them only what stands there by right."""
    if not (row.startswith(start) and row.endswith(end) and len(row) >= len(start) + len(end)):
        return False
    _, *lines = row[len(start) : -len(end)].split(_BREAK)
    return all(line.startswith(boot_start()) for line in lines)


def _shows_secret(section: tuple[str, ...], need: Need) -> bool:
    """Return whether a section shows a secret with its source: as one to be set, or as not checked."""
    if not need.source:
        return False
    told = unchecked_secret(need.secret, need.source)
    listed = (line for line in section if line[:1] not in ("#", "|"))
    if any(f"{told}{sign}" in line for line in listed for sign in (",", ".")):
        return True
    start, cell = row_start(need.step.key), secret_cell(need.secret, need.source)
    rows = (row for row in _rows(section) if row.startswith(start))
    return any(f"{_BREAK}{cell}{end}" in row for row in rows for end in (_BREAK, " |"))
