"""`roost github scope`: find out whether a change affects the tool, so that all checks must run."""

from __future__ import annotations

import json
import re

from roost.errors import ExitCode, UsageError
from roost.github.actions import runner_of
from roost.operations.context import Context
from roost.operations.git import ask_git

_LIGHT = re.compile(
    r"environments/[^/]+\.ya?ml"
    r"|environments/locks/[^/]+\.txt"
    r"|(.*/)?[^/]*\.sops\.(yaml|yml|json|env)"
    r"|docs/.*"
    r"|flows/.*"
    r"|prefect/[^/]+\.ya?ml"
    r"|[^/]+\.md"
    r"|LICENSE",
    re.DOTALL,
)
"""Files that only plans, rehearsals and people read, and no test of the tool."""
_MOST_LISTED = 10


def scope(context: Context, base: str) -> ExitCode:
    """Set the output `all`: whether all checks must run for the changes of a commit.

    Args:
        context: where the repository is.
        base: the commit to compare HEAD with; without one, all checks must run.

    Raises:
        UsageError: git cannot compare them.
    """
    files = changed_names(context, base) if base else ()
    heavy = [name for name in files if not is_light(name)]
    everything = bool(heavy) or not files
    if runner := runner_of(context.environ):
        runner.output("all", json.dumps(everything))
    for name in heavy[:_MOST_LISTED]:
        context.out.print(f"All checks run, because {name} changes.", markup=False, soft_wrap=True)
    if not files:
        context.out.print("All checks run: there is no change to compare.")
    if not everything:
        context.out.print("Only environments, flows, secrets and documentation change.")
    return ExitCode.DONE


def is_light(name: str) -> bool:
    """Return whether a file is neither part of the tool nor read by its tests."""
    return bool(_LIGHT.fullmatch(name))


def changed_names(context: Context, base: str) -> tuple[str, ...]:
    """Return the files in which HEAD differs from a commit; a moved file by both names.

    Raises:
        UsageError: git cannot compare them.
    """
    words = ("diff", "--name-only", "--no-renames", "-z", "--end-of-options", base, "HEAD")
    listed = ask_git(context.environ, context.project, *words)
    if listed is None:
        raise UsageError(
            f"HEAD cannot be compared with {base}.",
            where="--base",
            advice="Check out that commit as well (`fetch-depth: 0`).",
        )
    return tuple(filter(None, listed.split("\0")))
