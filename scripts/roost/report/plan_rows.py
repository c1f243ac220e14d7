"""One step of a plan as a row of a Markdown table.

What a row ends with is covered by the seal of its step: `report/visible.py` writes it anew and
compares. The form of a row is therefore stored data, in each open pull request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from roost.plan.approval import sealed_fields
from roost.plan.document import canonical
from roost.plan.secrets import FIELD
from roost.plan.steps import Risk, Step
from roost.report.markdown import code, text, value_code
from roost.report.wording import hash_of_all, shown_whole

MAX_CHANGES = 30
FEWEST_CHANGES = 8
"""Lines of a step that are always shown, however little room there is."""
TABLE_HEAD = "| step | what changes | risk |"
TABLE_RULE = "|---|---|---|"
SOURCES = "sources"
"""The field of a step that says where the values of its secrets come from."""
_BREAK = "<br>"
_RISK = {Risk.MIGRATION: "**migration**", Risk.DATA: "**data**", Risk.DOWNTIME: "**downtime**"}


def risk_text(risk: Risk) -> str:
    """Return the word for a risk; one that puts data or service at stake is bold."""
    return _RISK.get(risk, risk.word)


def step_row(step: Step, most: int | None) -> str:
    """Write the row of a step.

    Args:
        step: the step.
        most: how many of its changes are shown; None for all, with every value whole.
    """
    cells = [text(step.summary), *_boots(step), *_sealed_cells(step, most)]
    return f"{row_start(step.key)}{_BREAK.join(cells)} | {risk_text(step.risk)} |"


def row_start(key: str) -> str:
    """Return the beginning of a step's row, up to its summary."""
    return f"| {code(key)} | "


def row_ends(step: Step) -> frozenset[str]:
    """Return the possible ends of a step's row: what its seal covers, and the risk.

    There is one for each level of detail and risk. Before it a row has only the summary and the lines
    that begin with `boot_start`.
    """
    return frozenset(
        f"{_BREAK}{_BREAK.join(_sealed_cells(step, most))} | {risk_text(risk)} |"
        for most in (MAX_CHANGES, FEWEST_CHANGES)
        for risk in Risk
    )


def boot_start() -> str:
    """Return the beginning of the line that says why a machine restarts for its secrets."""
    return f"{code(FIELD)}: "


def secret_cell(name: str, source: str) -> str:
    """Return the line of a row with the source of a secret that is set."""
    [line] = _spread(SOURCES, {name: source})
    return line.written(whole=False)


def _sealed_cells(step: Step, most: int | None) -> list[str]:
    """Return the lines that the seal of a step covers; equal seals have equal lines."""
    lines, rest = list(_lines(step)), list(_rest(step))
    if most is None or not step.changes:
        lines, rest = [*lines, *rest], []
    if SOURCES in step.own:  # only the deploy knows which of them it sets, so all are shown
        most = None if most is None else len(lines)
    kept = lines[:most]
    cells = [line.written(whole=most is None) for line in kept]
    if left := lines[len(kept) :]:
        cells.append(f"and {len(left)} more, sha256 {code(_hash(left))}")
    if rest:  # fields that are sent unchanged are only hashed
        cells.append(f"all that is sent: sha256 {code(_hash(rest))}")
    return cells


def _boots(step: Step) -> Iterator[str]:
    """Yield why a machine restarts for its secrets; it follows from other steps and is not sealed."""
    for change in step.changes:
        if change.field == FIELD:
            yield _Line(FIELD, (change.old, change.new)).written(whole=False)


@dataclass(frozen=True)
class _Line:
    """One field of a step: an old and a new value, or a single value."""

    field: str
    values: tuple[Any, ...]

    def written(self, *, whole: bool) -> str:
        values = " \u2192 ".join(value_code(value, whole=whole) for value in self.values)
        return f"{code(self.field)}: {values}"


def _hash(lines: Iterable[_Line]) -> str:
    return hash_of_all((line.field, *line.values) for line in lines)


def _lines(step: Step) -> Iterator[_Line]:
    """List the changes of a step, without secrets."""
    changes = (change for change in step.changes if change.field != FIELD)
    return (_Line(change.field, (change.old, change.new)) for change in changes)


def _rest(step: Step) -> Iterator[_Line]:
    """List the fields that a step sends besides its changes; a merge approves those as well."""
    listed = {(change.field, canonical(change.new)) for change in step.changes}
    for name, value in sealed_fields(step).items():
        if (name, canonical(value)) not in listed:
            yield from [_Line(name, (value,))] if step.changes else _spread(name, value)


_SPREAD = frozenset({"config", "config.env", "fields", SOURCES})
"""Maps of a new object whose entries are shown on a line each."""


def _spread(name: str, value: Any) -> Iterator[_Line]:
    if name not in _SPREAD or not isinstance(value, dict) or not value:
        yield _Line(name, (value,))
        return
    for key, inner in value.items():
        yield from _spread(f"{name}{_below(key)}", inner)


def _below(key: str) -> str:
    return f".{key}" if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f"[{shown_whole(key)}]"
