"""Secrets that every branch reaches: those of the repository and of its organization, by name.

Whoever can push a branch can run a workflow in it that prints them.
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
"""Secrets of a server, or of the App; the environment `plan`, which every branch reaches, has none."""
GUARDED_SECRETS = frozenset({TOKEN, *DEPLOYING})
"""Secrets that belong into a GitHub environment that only main may use."""
_SEES_THEM = "use a token that may read them: a classic one of `gh auth token`, or Secrets (read)"
_PERSON = "User"

Names = Callable[[], Awaitable[tuple[str, ...] | None]]


async def shared_secrets(
    github: GitHub, repository: Repository, guarded: Iterable[str]
) -> AsyncIterator[Check]:
    """Look for secrets that belong into an environment, where every branch reaches them.

    Args:
        github: asked for names; values never leave GitHub.
        repository: whose secrets; one of a person has no organization.
        guarded: the names to look for.
    """
    names = {name.upper() for name in guarded}
    organization = f"https://github.com/organizations/{repository.owner}/settings/secrets/actions"
    places: list[tuple[str, Names, str]] = [
        ("repository", github.repository_secrets, "gh secret delete {}"),
    ]
    if repository.owner_type != _PERSON:
        mend = f"take {{}} from this repository: {organization}"
        places.append(("organization", github.organization_secrets, mend))
    found = []
    for place, ask, mend in places:
        found += await _in_one_place(place, ask, mend, names)
    for check in found:
        yield check
    if not found:
        yield ok("no secret of an environment is one of the repository or its organization as well")


async def _in_one_place(place: str, ask: Names, mend: str, names: set[str]) -> list[Check]:
    try:
        there = await ask()
    except RoostError as error:
        return [unknown(f"the secrets of the {place} are not to be seen: {error}")]
    if there is None:
        return [
            unknown(f"the secrets of the {place} are not to be seen with this token", _SEES_THEM)
        ]
    return [
        missing(
            f"every branch reaches the {place}'s secret {name}: a writer can print it by a workflow",
            mend.format(name),
        )
        for name in sorted({name.upper() for name in there} & names)
    ]
