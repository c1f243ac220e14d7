"""Read the live state of an app from Fly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import anyio

from roost.errors import RoostError
from roost.fly.client import FlyClient
from roost.fly.models import App, IpAssignment, Machine, SecretInfo, Volume
from roost.plan.trial import is_trial, is_trial_secret


@dataclass(frozen=True)
class Live:
    """The state of one app; everything is empty if the app does not exist."""

    app: App | None = None
    ips: tuple[IpAssignment, ...] = ()
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[SecretInfo, ...] = ()
    machines: tuple[Machine, ...] = ()
    trials: tuple[Machine, ...] = ()
    """Temporary machines that test a database, or that a killed apply left; plans ignore them."""
    trial_secrets: tuple[str, ...] = ()
    """The names of the temporary machines' secrets."""


@dataclass(frozen=True)
class Listed:
    """What the lists of an organization say of an app, which then needs no calls of its own."""

    app: App
    volumes: tuple[Volume, ...]


async def read_live(fly: FlyClient, name: str, listed: Listed | None = None) -> Live:
    """Read an app: one call, and four more at once if the app exists; three if it is `listed`.

    If a machine mounts a volume that is not in the list, the volumes are read again: both were created
    between the calls, and the machine would look as if its data were lost.

    Raises:
        FlyError: the first error of these calls.
    """
    app = listed.app if listed else await fly.get_app(name)
    if app is None:
        return Live()
    found: dict[str, Any] = {"volumes": listed.volumes} if listed else {}
    failures: list[RoostError] = []

    async def read(key: str, call: Callable[[str], Awaitable[Any]]) -> None:
        try:
            found[key] = await call(name)
        except RoostError as failure:  # a task group would wrap it in an exception group
            failures.append(failure)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, "ips", fly.list_ips)
        if listed is None:
            tasks.start_soon(read, "volumes", fly.list_volumes)
        tasks.start_soon(read, "secrets", fly.list_secrets)
        tasks.start_soon(read, "machines", fly.list_machines)
    if failures:
        raise failures[0]
    live = _without_trials(Live(app, **found))
    known = {"", *(volume.id for volume in live.volumes)}
    if all(machine.mounted_volume in known for machine in live.machines):
        return live
    return replace(live, volumes=await fly.list_volumes(name))


def _without_trials(live: Live) -> Live:
    return replace(
        live,
        machines=tuple(machine for machine in live.machines if not is_trial(machine)),
        secrets=tuple(secret for secret in live.secrets if not is_trial_secret(secret)),
        trials=tuple(machine for machine in live.machines if is_trial(machine)),
        trial_secrets=tuple(secret.name for secret in live.secrets if is_trial_secret(secret)),
    )
