"""Report an unexpected error as a fault of its scenario, in one line; the others continue."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

MAX_ERRORS = 3
"""The number of unexpected errors that ends a scenario, because they would repeat."""


def describe_error(error: Exception, latest: str = "") -> str:
    """Return an exception in one line: its type, its place, and the last command.

    The full traceback is printed to standard error.
    """
    traceback.print_exception(error, file=sys.stderr)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    said = " ".join(str(error).split())
    before = f"; before that {latest}" if latest else ""
    return f"{type(error).__name__}{place}: {said}{before}"
