"""`roost github scope`: whether a change may concern the tool itself, or only servers and documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from roost.errors import ExitCode, UsageError
from roost.github.actions import runner_of
from roost.operations.context import Context
from roost.operations.git import ask_git

_LIGHT = re.compile(
    r"environments/[^/]+\.ya?ml"
    r"|(.*/)?[^/]*\.sops\.(yaml|yml|json|env)"
    r"|docs/.*"
    r"|[^/]+\.md"
    r"|LICENSE",
    re.DOTALL,
)
"""Files that the plan, the rehearsal and a reader look at. What tests read elsewhere is not among them."""
_MOST_TOLD = 10


def scope(context: Context, base: str) -> ExitCode:
    """Say, as an output, whether all checks have to run for what a commit changes.

    Args:
        context: where the repository is.
        base: the commit to compare HEAD with; everything has to run where there is none.

    Raises:
        UsageError: git cannot compare them.
    """
    files = changed_names(context, base) if base else ()
    heavy = [name for name in files if not is_light(name)]
    everything = bool(heavy) or not files
    if runner := runner_of(context.environ):
        runner.output("all", json.dumps(everything))
    for name in heavy[:_MOST_TOLD]:
        context.out.print(f"All checks run, as {name} changes.", markup=False, soft_wrap=True)
    if not files:
        context.out.print("All checks run: there is no change to look at.")
    if not everything:
        context.out.print("Only environments, secrets and documentation change.")
    return ExitCode.DONE


def is_light(name: str) -> bool:
    """Return whether a file is no part of the tool, and of nothing that its tests read."""
    return bool(_LIGHT.fullmatch(name))


def changed_names(context: Context, base: str) -> tuple[str, ...]:
    """Return the files in which HEAD differs from a commit; of a file that moved, both names.

    Raises:
        UsageError: git cannot compare them.
    """
    words = ("diff", "--name-only", "--no-renames", "-z", "--end-of-options", base, "HEAD")
    told = ask_git(context.environ, context.project, *words)
    if told is None:
        raise UsageError(
            f"HEAD cannot be compared with {base}.",
            where="--base",
            advice="Check out that commit as well (`fetch-depth: 0`).",
        )
    return tuple(_split(told))


def _split(told: str) -> Iterable[str]:
    return filter(None, told.split("\0"))
