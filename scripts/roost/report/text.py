"""Plans, checks and states for a terminal: values in, renderables out; nothing prints here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from roost.plan.cost import CostChange
from roost.plan.steps import Change, Plan, Risk, Step
from roost.prefect.probe import CheckResult
from roost.report.wording import cost_line, one_line, shown, unchecked_line

PLAIN_WIDTH = 120
MAX_CHANGES = 12
_STYLE = {
    Risk.NONE: "green",
    Risk.RESTART: "yellow",
    Risk.DOWNTIME: "red",
    Risk.MIGRATION: "red",
    Risk.DATA: "bold red",
}


class _Console(Console):
    def print_json(self, json: str | None = None, **options: Any) -> None:
        """Print JSON in ASCII: names that Fly gives may hold what a terminal obeys, or no encoding can write."""
        super().print_json(json, **{"ensure_ascii": True, **options})


def make_console(file: TextIO) -> Console:
    """Open a console; a pipe gets plain text of a width that does not depend on the terminal."""
    width = None if file.isatty() else PLAIN_WIDTH
    return _Console(file=file, width=width, highlight=False, soft_wrap=not file.isatty())


def plan_report(plan: Plan, cost: CostChange | None) -> RenderableType:
    """Show a plan: steps with old and new values and risk, then cost, refusals and warnings."""
    parts: list[RenderableType] = []
    if plan.steps:
        parts.append(_steps_table(plan.steps))
    elif not plan.refusals:
        asking = "the file and the override ask" if "overrides" in plan.base else "the file asks"
        parts.append(Text(f"No changes: live is as {asking}.", style="green"))
    if cost is not None:
        parts.append(Text(cost_line(cost)))
    if plan.unchecked:
        parts.append(Text(one_line(unchecked_line(plan.unchecked)), style="dim"))
    parts += [_labelled("warning", "yellow", warning) for warning in plan.warnings]
    parts += [
        _labelled("refused", "red", f"{refusal.key}: {refusal.what}. {refusal.advice}")
        for refusal in plan.refusals
    ]
    return Group(*parts)


def _steps_table(steps: Sequence[Step]) -> Table:
    table = Table(title=None, show_edge=False, pad_edge=False, box=None, header_style="bold")
    table.add_column("step", overflow="fold")
    table.add_column("what changes", overflow="fold")
    table.add_column("risk")
    for step in steps:
        details = [Text(one_line(step.summary)), *_change_lines(step.changes)]
        table.add_row(
            Text(one_line(step.key)), Group(*details), Text(step.risk.word, style=_STYLE[step.risk])
        )
    return table


def _change_lines(changes: Sequence[Change]) -> Iterable[Text]:
    for change in changes[:MAX_CHANGES]:
        yield Text(
            f"  {one_line(change.field)}: {shown(change.old)} -> {shown(change.new)}", style="dim"
        )
    if len(changes) > MAX_CHANGES:
        yield Text(f"  and {len(changes) - MAX_CHANGES} more; see --json", style="dim")


def check_line(result: CheckResult) -> Text:
    """Show one check: mark, name, time, and what was found; advice when it failed."""
    mark, style = ("ok  ", "green") if result.ok else ("FAIL", "bold red")
    line = Text.assemble(
        (f"  {mark} ", style),
        f"{result.name:<20} {result.seconds:6.2f} s",
        ("  " + one_line(result.detail), "dim"),
    )
    if not result.ok and result.advice:
        line.append(f"\n       {one_line(result.advice)}")
    return line


def status_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Show rows of words under their headings."""
    table = Table(box=None, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table


def _labelled(label: str, style: str, text: str) -> Text:
    return Text.assemble((f"{label}: ", style), one_line(text))
