"""The table of flyctl's commands in the local Fly's README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import localfly

README = Path(localfly.__file__).parent / "README.md"
BEGIN = "<!-- flyctl: written by `./run flyctl --write` -->"
END = "<!-- flyctl: end -->"
WORKS = "works"


@dataclass(frozen=True)
class Row:
    """One command, and that it works or the sentence of its refusal."""

    words: str
    outcome: str


def render(version: str, rows: Sequence[Row]) -> str:
    """Return the table between its two marks."""
    count = sum(row.outcome == WORKS for row in rows)
    lines = [
        BEGIN,
        f"{version}: {count} of {len(rows)} commands work, the others are refused.",
        "",
        "| flyctl | |",
        "|---|---|",
        *(f"| `{row.words}` | {row.outcome} |" for row in rows),
        END,
    ]
    return "\n".join(lines)


def replace(page: str, table: str) -> str:
    """Return a page with the table in the place of its last one."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{table}{after}"


def read(page: str) -> list[Row]:
    """Return the rows of the table of a page."""
    table = page.partition(BEGIN)[2].partition(END)[0]
    found = [line for line in table.splitlines() if line.startswith("| `")]
    parts = [line.removeprefix("| `").removesuffix(" |").partition("` | ") for line in found]
    return [Row(words, outcome) for words, _, outcome in parts]
