"""The issue "Fleet": all environments in one table, which the drift workflow keeps up to date. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from roost.errors.command import TYPED, rendered
from roost.plan.fleet import FleetRow
from roost.report.drift import fitted
from roost.report.fleet import COLUMNS, fleet_notes, fleet_summary
from roost.report.issue import Seen
from roost.report.kept_issue import KeptIssue
from roost.report.markdown import text
from roost.report.plan_layout import LIMIT

TITLE = "Fleet"
FLEET = KeptIssue("roost-fleet", "1f6feb", "The state of all servers, kept up to date by Roost")
SHOWN = ("environment", "state", "Prefect", "release", "drift", "disk", "so far", "month")
"""What is still true an hour later; times from now are left out."""


def fleet_body(rows: Sequence[FleetRow], now: datetime, run_url: str) -> str:
    """Return the text of the issue, within GitHub's limit of its length.

    Args:
        rows: the environments.
        now: the time at which they were read.
        run_url: the address of the run; empty outside of a workflow.
    """
    columns = [column for column in COLUMNS if column.head in SHOWN]
    heads = [column.head for column in columns]
    lines = [_line(column.cell(row, now) for column in columns) for row in rows]
    parts = [
        f"{FLEET.marker}\n{text(fleet_summary(rows, now))}\n",
        f"{_line(heads)}\n|{'---|' * len(heads)}",
        fitted(lines, LIMIT // 2, "environment"),
        fitted([f"- {text(rendered(note, TYPED))}" for note in _notes(rows)], LIMIT // 3, "note"),
        f"---\n\nLast checked {Seen(now, run_url).line}. The drift workflow keeps it up to date.",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(text(cell) for cell in cells)} |"


def _notes(rows: Sequence[FleetRow]) -> Iterator[str]:
    yield from fleet_notes(rows)
    yield from (f"{row.name}: {row.error.message}" for row in rows if row.error)
