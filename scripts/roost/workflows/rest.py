"""`roost github rest`: report the environments that a run has no job for, with a command for them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from roost.errors import ExitCode
from roost.operations.context import Context
from roost.report.markdown import text
from roost.report.wording import counted
from roost.workflows.artifact_hashes import REST, named
from roost.workflows.job import need_runner


def rest(context: Context, workflow: str) -> ExitCode:
    """Print the environments in REST, with the command that starts a run for each.

    Returns:
        ERROR where there are any.

    Raises:
        UsageError: this is no run of a workflow, or REST is no list of names.
    """
    runner = need_runner(context)
    names = named(context.environ, REST)
    if not names:
        context.out.print("No environment was left.")
        return ExitCode.DONE
    message = left_line(names, workflow)
    runner.summary(text(message))
    context.out.print(message, markup=False, soft_wrap=True)
    return ExitCode.ERROR


def left_line(names: Sequence[str], workflow: str) -> str:
    """Return a sentence with the environments that had no job, and the command for them."""
    listed = " ".join(map(shlex.quote, names))
    return (
        f"GitHub starts no more jobs from one list, so this run left {counted(len(names), 'environment')}. "
        f"Start a run for each: `for name in {listed}; do gh workflow run {workflow}.yml -f environment=$name; done`"
    )
