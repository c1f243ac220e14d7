"""What a step gave as outputs: the file in which the runner finds them, read as it does."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path


def outputs_in(file: Path) -> dict[str, str]:
    """Return the outputs; what was given twice counts as it was given last."""
    found: dict[str, str] = {}
    lines = iter(file.read_text(encoding="utf-8").splitlines())
    for line in lines:
        name, _, end = line.partition("<<")
        found[name] = "\n".join(takewhile(end.__ne__, lines))
    return found
