"""The outputs of a step, read from its file as the runner does."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path


def outputs_in(file: Path) -> dict[str, str]:
    """Return the outputs; of a repeated name the last value counts."""
    found: dict[str, str] = {}
    lines = iter(file.read_text(encoding="utf-8").splitlines())
    for line in lines:
        name, _, end = line.partition("<<")
        found[name] = "\n".join(takewhile(end.__ne__, lines))
    return found
