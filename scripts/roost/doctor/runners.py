"""Check for self-hosted runners, where a workflow of any branch can wait for a deploy's token.

Shapes: https://docs.github.com/rest/actions/self-hosted-runners and .../actions/variables.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from roost.doctor.check import Check, missing, ok, unknown
from roost.errors import RoostError
from roost.github.api import GitHub

VARIABLE = "ROOST_RUNNER"
"""The repository's variable with the runner for the jobs that call servers."""
_GUIDE = "see docs/github.md, A private server"
_GROUP = f"allow it only for main's workflows, by a runner group of the organization: {_GUIDE}"
_SEES_RUNNERS = "use a token of an admin: `gh auth token`, or one with Administration (read)"
_SEES_VARIABLES = "use a classic token of `gh auth token`, or one with Variables (read)"


async def runner_checks(github: GitHub) -> AsyncIterator[Check]:
    """Check for self-hosted runners of the repository, and for the variable that uses them."""
    yield await _registered(github)
    yield await _moved(github)


async def _registered(github: GitHub) -> Check:
    try:
        names = await github.runners()
    except RoostError as error:
        return unknown(f"whether there are self-hosted runners could not be read: {error}")
    if names is None:
        what = "whether there are self-hosted runners cannot be read with this token"
        return unknown(what, _SEES_RUNNERS)
    if not names:
        return ok("no self-hosted runner is registered for the repository itself")
    return missing(
        f"a writer can run a workflow of any branch on {', '.join(sorted(names))}, a self-hosted runner "
        "of the repository, and leave a program there that takes the token of the next deploy",
        _GROUP,
    )


async def _moved(github: GitHub) -> Check:
    try:
        is_set = await github.has_variable(VARIABLE)
    except RoostError as error:
        return unknown(f"whether {VARIABLE} is set could not be read: {error}")
    if is_set is None:
        what = f"whether {VARIABLE} is set cannot be read with this token"
        return unknown(what, _SEES_VARIABLES)
    if not is_set:
        return ok(f"{VARIABLE} is not set: jobs with tokens run on GitHub's own runners")
    return unknown(
        f"jobs with tokens run on the runner that {VARIABLE} names, and a writer can change it; GitHub "
        "does not show whether only main's workflows may use each self-hosted runner",
        _GUIDE,
    )
