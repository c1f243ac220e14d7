"""Self-hosted runners: what a workflow on any branch leaves there can take a deploy's token.

Shapes: https://docs.github.com/rest/actions/self-hosted-runners and .../actions/variables.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from roost.doctor.check import Check, missing, ok, unknown
from roost.errors import RoostError
from roost.github.api import GitHub

VARIABLE = "ROOST_RUNNER"
"""The repository's variable that moves the jobs that use servers to another runner."""
_GUIDE = "see docs/github.md, A private server"
_GROUP = f"give it to main's workflows alone, by a runner group of the organization: {_GUIDE}"
_SEES_RUNNERS = "use a token of an admin: `gh auth token`, or one with Administration (read)"
_SEES_VARIABLES = "use a classic token of `gh auth token`, or one with Variables (read)"


async def runner_checks(github: GitHub) -> AsyncIterator[Check]:
    """Look for self-hosted runners of the repository, and for the variable that uses some."""
    yield await _registered(github)
    yield await _moved(github)


async def _registered(github: GitHub) -> Check:
    try:
        names = await github.runners()
    except RoostError as error:
        return unknown(f"whether there are self-hosted runners is not to be seen: {error}")
    if names is None:
        what = "whether there are self-hosted runners is not to be seen with this token"
        return unknown(what, _SEES_RUNNERS)
    if not names:
        return ok("no self-hosted runner is registered for the repository itself")
    return missing(
        f"a writer can run a workflow of any branch on {', '.join(sorted(names))}, and leave there "
        "what takes the token of the next deploy: it is a self-hosted runner of the repository",
        _GROUP,
    )


async def _moved(github: GitHub) -> Check:
    try:
        is_set = await github.has_variable(VARIABLE)
    except RoostError as error:
        return unknown(f"whether {VARIABLE} is set is not to be seen: {error}")
    if is_set is None:
        what = f"whether {VARIABLE} is set is not to be seen with this token"
        return unknown(what, _SEES_VARIABLES)
    if not is_set:
        return ok(f"{VARIABLE} is not set: jobs with tokens run on GitHub's own runners")
    return unknown(
        f"jobs with tokens run where {VARIABLE} says, and a writer can change that; whether only "
        "main's workflows may use each self-hosted runner is not told by GitHub",
        _GUIDE,
    )
