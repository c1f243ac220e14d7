"""Render plans, checks and tables for a terminal. Functions return renderables and print nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from json import dumps, loads
from typing import Any, TextIO, cast

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Span, Text

from roost.environment.flow_units import is_flow_server
from roost.errors.command import BARE, Style, bare_document, has_marks, parts
from roost.plan.cost import CostChange
from roost.plan.steps import Change, Plan, Risk, Step
from roost.prefect.probe import CheckResult
from roost.report.windows import NEEDS_A_TICK
from roost.report.wording import (
    KEEPS_AWAKE,
    cost_line,
    hash_of_all,
    one_line,
    shown,
    spelled,
    unchecked,
    unchecked_line,
)

PLAIN_WIDTH = 120
MAX_CHANGES = 12
GAP = "  "
ROOM_FOR_WORDS = 24
"""If less room is left beside a row, its text is printed below it."""
_STYLE = {
    Risk.NONE: "green",
    Risk.RESTART: "yellow",
    Risk.DOWNTIME: "red",
    Risk.MIGRATION: "red",
    Risk.DATA: "bold red",
}


@dataclass(frozen=True)
class Verbatim:
    """Text of somebody else that is printed unchanged, to its last character."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return it to rich."""
        yield from Text(self.text, end="").__rich_console__(console, options)


class _Console(Console):
    """Prints texts with the commands in them as its readers type them.

    Args:
        style: how commands are written.
        options: see rich.
    """

    def __init__(self, *, style: Style, **options: Any) -> None:
        super().__init__(**options)
        self._style = style

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; a line wider than the terminal is wrapped and not cut."""
        super().print(*objects, **{"crop": False, **options})

    def print_json(self, json: str | None = None, **options: Any) -> None:
        """Print JSON in ASCII, as names from Fly may hold control characters of a terminal."""
        data = bare_document(loads(json)) if json else options.pop("data", None)
        if not (self.is_terminal or self.record or options):
            # rich styles each word, which for all environments takes longer than to read them.
            self.file.write(f"{dumps(data, indent=2)}\n")
            return
        super().print_json(data=data, **{"ensure_ascii": True, **options})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return the segments of a part of the output. Here every text passes, also in tables."""
        if isinstance(renderable, Text) and has_marks(renderable.plain):
            renderable = _written(renderable, self._style)
        return super().render(renderable, options)


def _written(text: Text, style: Style) -> Text:
    """Apply `rendered` to a styled text; a command keeps its own style."""
    whole = text.copy()
    for part in reversed(tuple(parts(text.plain, style))):
        before, command, after = whole.divide([part.start, part.end])
        spans = [Span(0, len(part.words), span.style) for span in command.spans]
        whole = before.append_text(Text(part.words, command.style, spans=spans)).append_text(after)
    return whole


def make_console(file: TextIO, *, width: int = 0, style: Style = BARE) -> Console:
    """Open a console; a pipe gets plain text of a width that does not depend on the terminal.

    Args:
        file: where it prints.
        width: columns for a pipe; `PLAIN_WIDTH` if 0.
        style: how the commands in texts are written.
    """
    columns = None if file.isatty() else width or PLAIN_WIDTH
    return _Console(
        style=style,
        file=file,
        width=columns,
        highlight=False,
        emoji=False,
        soft_wrap=not file.isatty(),
    )


def plan_report(plan: Plan, cost: CostChange | None) -> RenderableType:
    """Render a plan: steps with old and new values and risk, then cost, refusals and warnings."""
    parts: list[RenderableType] = []
    if plan.steps:
        parts.append(_steps_table(plan.steps))
    elif not plan.refusals:
        source = "the file and the override" if "overrides" in plan.base else "the file"
        parts.append(Text(f"No changes: live matches {source}.", style="green"))
    if cost is not None:
        parts.append(Text(cost_line(cost)))
        sleeps = round(cost.then.low, 2) != round(cost.then.high, 2)
        if sleeps and not is_flow_server(plan.environment):
            parts.append(Text(KEEPS_AWAKE))
        if cost.then.window_hours:
            parts.append(Text(NEEDS_A_TICK))
    if plan.unchecked:
        parts.append(Text(one_line(unchecked_line(unchecked(plan))), style="dim"))
    parts += [_labelled("warning", "yellow", warning) for warning in plan.warnings]
    parts += [
        _labelled("refused", "red", f"{refusal.key}: {refusal.what}. {refusal.advice}")
        for refusal in plan.refusals
    ]
    return Group(*parts)


def unit_heading(name: str, app: str) -> Text:
    """Return the line above the plan of a server or flow server, where a command shows several."""
    return Text(f"{name} (app {app})", style="bold")


def _steps_table(steps: Sequence[Step]) -> Table:
    table = _Table(title=None, show_edge=False, pad_edge=False, box=None, header_style="bold")
    table.add_column("step", overflow="fold")
    table.add_column("what changes", overflow="fold")
    table.add_column("risk")
    for step in steps:
        details = [Text(one_line(step.summary)), *_change_lines(step.changes)]
        table.add_row(
            Text(spelled(step.key)), Group(*details), Text(step.risk.word, style=_STYLE[step.risk])
        )
    return table


def _change_lines(changes: Sequence[Change]) -> Iterable[Text]:
    for change in changes[:MAX_CHANGES]:
        yield Text(
            f"  {spelled(change.field)}: {shown(change.old)} -> {shown(change.new)}", style="dim"
        )
    if left := changes[MAX_CHANGES:]:
        digest = hash_of_all((change.field, change.old, change.new) for change in left)
        yield Text(f"  and {len(left)} more, sha256 {digest}; see --json", style="dim")


def check_line(result: CheckResult) -> Text:
    """Render one check: mark, name, time and detail, and the next step if it failed."""
    mark, style = ("ok  ", "green") if result.ok else ("FAIL", "bold red")
    line = Text.assemble(
        (f"  {mark} ", style),
        f"{result.name:<20} {result.seconds:6.2f} s",
        ("  " + one_line(result.detail), "dim"),
    )
    if not result.ok and result.advice:
        line.append(f"\n       {one_line(result.advice)}")
    return line


class _Table(Table):
    """A table without blanks at the ends of its lines."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return it to rich."""
        parts = cast(Iterable[Segment], super().__rich_console__(console, options))
        for line in Segment.split_lines(parts):
            yield from _stripped(line)
            yield Segment.line()


def _stripped(line: Sequence[Segment]) -> Sequence[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style, kept[-1].control)
    return kept


@dataclass(frozen=True)
class Listing:
    """Rows of values that people copy, such as ids: their cells are never wrapped.

    Args:
        columns: the headings.
        rows: the cells, one for each heading.
        words: heading of a last column of text, which may be wrapped; it is printed beside the
            other cells if there is room, else below them.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return it to rich."""
        widths = [max(map(cell_len, cells)) for cells in zip(*self._cells(), strict=True)]
        room = options.max_width - sum(widths) - len(GAP) * len(widths)
        beside = bool(self.words) and room >= ROOM_FOR_WORDS
        head, *rows = self._cells()
        yield _unbroken(_row(widths, head, self.words if beside else ""), "bold")
        for cells, words in zip(rows, self._words(), strict=True):
            if beside:
                first, *more = _broken(words, room) or [""]
                yield _unbroken(_row(widths, cells, first))
                yield from (_unbroken(_row(widths, [""] * len(widths), line)) for line in more)
            else:
                yield _unbroken(_row(widths, cells))
                below = [] if words == "-" else _broken(words, options.max_width - len(GAP))
                yield from (_unbroken(f"{GAP}{line}") for line in below)

    def _cells(self) -> list[list[str]]:
        rows = [row[: len(self.columns)] for row in self.rows]
        return [list(self.columns), *([one_line(cell) for cell in row] for row in rows)]

    def _words(self) -> list[str]:
        return [one_line(row[-1]) if self.words else "" for row in self.rows]


def listing(columns: Iterable[str], rows: Iterable[Sequence[str]], words: str = "") -> Listing:
    """Return a `Listing` of rows; `words` is the heading of a last column of text."""
    return Listing(tuple(columns), tuple(map(tuple, rows)), words)


def _row(widths: Sequence[int], cells: Sequence[str], words: str = "") -> str:
    padded = (
        cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)
    )
    return GAP.join((*padded, words)).rstrip()


def _broken(words: str, width: int) -> list[str]:
    return textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)


def _unbroken(line: str, style: str = "") -> Text:
    return Text(line, style, no_wrap=True, overflow="ignore")


def status_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of text; use `listing` for values that people copy."""
    table = _Table(box=None, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table


def _labelled(label: str, style: str, text: str) -> Text:
    return Text.assemble((f"{label}: ", style), one_line(text))
