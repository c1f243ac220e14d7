"""Orphaned apps: created for an environment that no file describes any more."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from roost.environment.flow_units import split_name
from roost.environment.load import EnvironmentFile, environment_names
from roost.environment.units import beside
from roost.errors import FlyError, FlyForbiddenError
from roost.fly.client import FlyClient
from roost.plan.desired import ENVIRONMENT_KEY

AT_ONCE = 4
LEFT = "its file no longer names it"


@dataclass(frozen=True)
class Orphan:
    """An orphaned app, the environment that its machines name, and why no file asks for it."""

    app: str
    organization: str
    environment: str
    why: str
    file_is_gone: bool = True
    """False if the environment's file is there, and names another app or no such flow server."""

    @property
    def sentence(self) -> str:
        """The app, and why it is orphaned, for people."""
        return (
            f"{self.app}: orphaned. It was made for {self.environment}, and {self.why}. "
            "Nothing removes it by itself."
        )


@dataclass
class Orphans:
    """The orphaned apps, and notes on what could not be read."""

    apps: list[Orphan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def find_orphans(folder: Path, files: Sequence[EnvironmentFile], fly: FlyClient) -> Orphans:
    """Search the organizations that the files name for Roost's machines without a file.

    An environment with an invalid file has no orphan, because its app is unknown. A token for
    single apps cannot list an organization: that adds a note and is not an error.
    """
    found = Orphans()
    apps = {file.environment.app for file in files}
    loaded = {file.name for file in files}
    unread = environment_names(folder) - loaded
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def look(organization: str, app: str) -> None:
        async with limit:
            try:
                machines = await fly.list_machines(app)
            except FlyError as error:
                found.notes.append(f"Whether {app} is orphaned is unknown: {error.what}")
                return
        names = {name for m in machines if (name := m.metadata.get(ENVIRONMENT_KEY))}
        for name in sorted(n for n in names if split_name(n)[0] not in unread):
            why, gone = _why(name, loaded), split_name(name)[0] not in loaded
            found.apps.append(Orphan(app, organization, name, why, gone))

    for organization in sorted({file.environment.organization for file in files}):
        try:
            listed = await fly.list_apps(organization)
        except FlyError as error:
            found.notes.append(
                f"Orphaned apps were not searched in {organization}: {error.what} "
                "Listing its apps needs a token of the organization, such as `fly tokens create readonly`."
            )
            continue
        async with anyio.create_task_group() as tasks:
            for app in listed:
                if app.name not in apps:
                    tasks.start_soon(look, organization, app.name)
    found.apps.sort(key=lambda orphan: orphan.app)
    found.notes.sort()
    return found


def _why(name: str, loaded: AbstractSet[str]) -> str:
    """Return why no file asks for the app of an environment or flow server."""
    if name in loaded:
        return "its file names another app now"
    environment, flow = split_name(name)
    return LEFT if flow and environment in loaded else "its file is gone"


async def left_flow_apps(file: EnvironmentFile, fly: FlyClient) -> tuple[str, ...]:
    """Return the apps of flow servers that were removed from an environment's file and not from Fly.

    Raises:
        FlyForbiddenError: the token cannot list the organization's apps.
        FlyError: Fly could not be asked.
    """
    return tuple(orphan.app for orphan in await left_orphans(file, fly))


async def left_orphans(file: EnvironmentFile, fly: FlyClient) -> tuple[Orphan, ...]:
    """Return the same apps, each with the flow server that it was made for.

    Raises:
        FlyForbiddenError: the token cannot list the organization's apps.
        FlyError: Fly could not be asked.
    """
    known = {unit.environment.app for unit in beside(file)}
    mine = f"{file.environment.app}-"
    found = []
    for app in await fly.list_apps(file.environment.organization):
        if not app.name.startswith(mine) or app.name in known:
            continue
        try:
            machines = await fly.list_machines(app.name)
        except FlyForbiddenError:
            continue  # somebody else's app of a similar name
        names = {machine.metadata.get(ENVIRONMENT_KEY, "") for machine in machines}
        ours = sorted(
            name for name in names if split_name(name)[0] == file.name and split_name(name)[1]
        )
        found += [
            Orphan(app.name, file.environment.organization, name, LEFT, file_is_gone=False)
            for name in ours[:1]
        ]
    return tuple(sorted(found, key=lambda orphan: orphan.app))
