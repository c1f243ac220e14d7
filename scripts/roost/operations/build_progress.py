"""Progress of an image build: one changing line on a terminal, else its stages.

If the build fails, all lines are printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rich.text import Text

from roost.report.wording import one_line

if TYPE_CHECKING:
    from rich.console import Console

# How the local Fly, uv and docker name their stages; the other lines are one a package.
_STAGE = re.compile(r"installing |baking|Prepared |Installed |#\d+ \[")
MAX_LINE = 100


@contextmanager
def build_progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Yield the function that takes each line of a build."""
    lines: list[str] = []
    with ExitStack() as stack:
        status = stack.enter_context(console.status("starting")) if console.is_terminal else None

        def report(line: str) -> None:
            lines.append(one_line(line))
            if status:
                status.update(Text(lines[-1][:MAX_LINE]))
            elif _STAGE.match(lines[-1]):
                console.print(f"  {lines[-1]}", markup=False)

        try:
            yield report
        except Exception:
            stack.close()
            for line in lines:
                console.print(f"  {line}", markup=False)
            raise
