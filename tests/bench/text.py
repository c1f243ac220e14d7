"""Format tables for a terminal and for docs/benchmarks.md. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.stats import Aim, Limit, Row, Sample, Table, Unit

HEAD = ("what", "ours", "stock", "ratio", "aim")
NONE = "-"
_SECTION = re.compile(r"^## .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Circumstances:
    """When, where and how figures were measured."""

    command: str
    date: str
    machine: str
    runs: int


def cells(row: Row) -> tuple[str, ...]:
    """Return the five cells of a row."""
    return (
        row.what,
        tell_sample(row.ours, row.unit),
        tell_sample(row.stock, row.unit) if row.stock else NONE,
        NONE if row.ratio is None else f"{row.ratio:.2f}",
        tell_aim(row),
    )


def tell_sample(sample: Sample, unit: Unit) -> str:
    """Return median and spread, such as `5.12 s (4.90 s to 5.40 s)`."""
    low, high = (unit.tell(value) for value in sample.spread)
    median = unit.tell(sample.median)
    return median if low == high else f"{median} ({low} to {high})"


def tell_aim(row: Row) -> str:
    """Return the target and whether it is met."""
    if row.limit is None:
        return NONE
    verdicts = {True: "met", False: "missed", None: "not measured"}
    return f"{tell_limit(row.limit, row.unit)}: {verdicts[row.met]}"


def tell_limit(limit: Limit, unit: Unit) -> str:
    """Return the target, such as `<= 0.85 of stock`."""
    match limit.aim:
        case Aim.RATIO_AT_MOST:
            return f"<= {limit.value:g} of stock"
        case Aim.AT_MOST:
            return f"<= {limit.value:g} {unit.label}".rstrip()
        case Aim.AT_LEAST:
            return f">= {limit.value:g} {unit.label}".rstrip()


def terminal(table: Table) -> str:
    """Return a table for a terminal, in columns."""
    lines = [HEAD, *(cells(row) for row in table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    aligned = ("  ".join(_padded(line, widths)).rstrip() for line in lines)
    return "\n".join([f"{table.subject}: {table.title}", *(f"  {line}" for line in aligned), ""])


def _padded(line: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    return (cell.ljust(width) for cell, width in zip(line, widths, strict=True))


def section(table: Table, circumstances: Circumstances) -> str:
    """Return a table as a section of docs/benchmarks.md with the meaning of its rows."""
    how = (
        f"`{circumstances.command}`, {circumstances.date}, {circumstances.machine}; "
        f"medians of {circumstances.runs} runs, in brackets the lowest and the highest."
    )
    rows = [HEAD, ("---",) * len(HEAD), *(cells(row) for row in table.rows)]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    paragraphs = [f"## {table.subject}: {table.title}", how, "\n".join(lines), table.about.strip()]
    return "\n\n".join(paragraphs) + "\n"


def merged(page: str, sections: Iterable[tuple[str, str]], opening: str) -> str:
    """Insert sections by subject into a page: new ones replace old ones, others stay."""
    found = {_subject(text): text.strip() + "\n" for text in _SECTION.findall(page)}
    return "\n".join([opening.strip() + "\n", *(found | dict(sections)).values()])


def _subject(text: str) -> str:
    return text.removeprefix("## ").partition(":")[0]
