"""What a verb printed in a job, on the page of the run as well: a button's answer is where it was pressed."""

from __future__ import annotations

from roost.github.actions import quiet, runner_of
from roost.operations.context import Context

FENCE = "~~~~~~"


def put_on_page(context: Context) -> None:
    """Put what was printed on standard output on the page, as it stood there."""
    runner = runner_of(context.environ)
    printed = context.out.export_text(styles=False).strip("\n")
    if runner and printed:
        # A line of it that were a fence would end the block.
        lines = [
            f" {line}" if line.startswith(FENCE[:3]) else line
            for line in quiet(printed).split("\n")
        ]
        runner.summary("\n".join((f"{FENCE}text", *lines, FENCE)))
