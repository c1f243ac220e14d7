"""Check for secrets in reach of every branch: those of the repository and of its organization.

Anybody who can push a branch can run a workflow in it that prints them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from roost.doctor.check import Check, missing, ok, unknown
from roost.environment.model import AUTH_SECRET
from roost.errors import RoostError
from roost.github.api import GitHub
from roost.github.settings_models import Repository
from roost.report.setup import APP_KEY, TOKEN

DEPLOYING = frozenset({"SOPS_AGE_KEY", AUTH_SECRET, APP_KEY})
"""Secrets of a server or of the App, which must not be in the environment `plan` of all branches."""
GUARDED_SECRETS = frozenset({TOKEN, *DEPLOYING})
"""Secrets that belong in a GitHub environment that only main may use."""
_SEES_THEM = "use a token that may read them: a classic one of `gh auth token`, or Secrets (read)"
_PERSON = "User"

Names = Callable[[], Awaitable[tuple[str, ...] | None]]


async def shared_secrets(
    github: GitHub, repository: Repository, guarded: Iterable[str]
) -> AsyncIterator[Check]:
    """Check for secrets that belong in an environment and are in reach of every branch.

    Args:
        github: the API; it returns names, never values.
        repository: the repository; that of a person has no organization.
        guarded: the names to look for.
    """
    names = {name.upper() for name in guarded}
    organization = f"https://github.com/organizations/{repository.owner}/settings/secrets/actions"
    places: list[tuple[str, Names, str]] = [
        ("repository", github.repository_secrets, "gh secret delete {}"),
    ]
    if repository.owner_type != _PERSON:
        mend = f"remove {{}} from this repository: {organization}"
        places.append(("organization", github.organization_secrets, mend))
    found = []
    for place, ask, mend in places:
        found += await _in_one_place(place, ask, mend, names)
    for check in found:
        yield check
    if not found:
        yield ok(
            "no secret of an environment is also a secret of the repository or its organization"
        )


async def _in_one_place(place: str, ask: Names, mend: str, names: set[str]) -> list[Check]:
    try:
        there = await ask()
    except RoostError as error:
        return [unknown(f"the secrets of the {place} could not be read: {error}")]
    if there is None:
        return [unknown(f"the secrets of the {place} cannot be read with this token", _SEES_THEM)]
    return [
        missing(
            f"every branch reaches the {place}'s secret {name}: a writer can print it with a workflow",
            mend.format(name),
        )
        for name in sorted({name.upper() for name in there} & names)
    ]
