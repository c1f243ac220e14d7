"""What nobody expected, told as a fault in one line: nothing is hidden, and the rest is played on."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

MOST = 3
"""So many mishaps end a scenario: what goes wrong every time needs no more of it."""


def tell_mishap(error: Exception, latest: str = "") -> str:
    """Return an exception in a line: what it is, where it came from, and what was run last.

    All of it is printed beside the results.
    """
    traceback.print_exception(error, file=sys.stderr)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    said = " ".join(str(error).split())
    before = f"; before that {latest}" if latest else ""
    return f"{type(error).__name__}{place}: {said}{before}"
