"""Create what no lease protects yet: the app, its addresses, its volume, its machines.

Fly has no lock before there is a machine, and an app can have several volumes of one name. So two
applies that run at once compare what they created: the first continues, the second removes its own
and stops. Names of machines are unique, so Fly itself refuses the second machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from roost.apply.secrets_lag import sent_once_seen
from roost.errors import (
    ChangedMeanwhileError,
    FlyConflictError,
    FlyRejectedError,
    FlyUnavailableError,
)
from roost.fly.client import FlyClient
from roost.fly.models import IpAssignment, Machine, Volume
from roost.plan.compare import differences
from roost.plan.desired import ENVIRONMENT_KEY, SLOT_KEY
from roost.plan.steps import AssignIp, CreateApp, CreateMachine, CreateVolume, Json, Plan, Step

LOST = (FlyUnavailableError, FlyConflictError)
"""Errors after which the object may exist: the answer was lost, or the name is taken."""


@dataclass
class Creations:
    """Creates the objects of a plan, each at most once.

    Args:
        fly: the API.
        plan: the plan, made just before.
        lease_ttl_s: seconds that the lease of a new machine lasts.
    """

    fly: FlyClient
    plan: Plan
    lease_ttl_s: int
    _volumes: list[str] = field(default_factory=list)
    """The volumes created by this apply; they are still empty."""

    async def create_app(self, step: CreateApp) -> None:
        """Create the app, or find the one that a lost answer created.

        Raises:
            ChangedMeanwhileError: somebody else created it.
        """
        try:
            await self.fly.create_app(step.app, step.organization)
        except LOST:
            if not await self._has_app(step):
                raise
        except FlyRejectedError as error:
            if await self._has_app(step):
                raise not_alone(step) from error
            raise

    async def _has_app(self, step: CreateApp) -> bool:
        app = await self.fly.get_app(step.app)
        return app is not None and app.organization.slug in ("", step.organization)

    async def assign_ip(self, step: AssignIp) -> None:
        """Assign an address, or find the one that a lost answer assigned.

        Raises:
            ChangedMeanwhileError: somebody else was first; the address of this apply is released.
        """
        app = self.plan.app
        if await self._ips(step):
            raise not_alone(step)
        try:
            made = await self.fly.assign_ip(app, step.ip_type)
        except LOST:
            if not await self._ips(step):
                raise
            return
        found = await self._ips(step)
        if not _is_first(made.ip, {ip.ip: ip.created_at for ip in found}):
            await self.fly.release_ip(app, made.ip)
            raise not_alone(step)

    async def _ips(self, step: AssignIp) -> list[IpAssignment]:
        return [ip for ip in await self.fly.list_ips(self.plan.app) if ip.kind == step.ip_type]

    async def create_volume(self, step: CreateVolume) -> str:
        """Create the volume, or find the one that a lost answer created; return its id.

        Raises:
            ChangedMeanwhileError: somebody else was first; the volume of this apply is deleted.
        """
        if await self._new_volumes(step):
            raise not_alone(step)
        try:
            made = await self.fly.create_volume(self.plan.app, step.fields)
        except LOST:
            found = await self._new_volumes(step)
            # Of two volumes it is unknown which is ours, and one in use is somebody else's.
            if len(found) == 1 and not found[0].attached_machine_id:
                return found[0].id
            raise
        self._volumes.append(made.id)
        found = await self._new_volumes(step)
        if not _is_first(made.id, {volume.id: volume.created_at for volume in found}):
            await self._delete_own_volumes()
            raise not_alone(step)
        return made.id

    async def _new_volumes(self, step: CreateVolume) -> list[Volume]:
        """Return the volumes of that name that were created after the plan was made."""
        planned = {volume for volume, _ in self.plan.base["volumes"]}
        found = await self.fly.list_volumes(self.plan.app)
        return [v for v in found if v.name == step.fields["name"] and v.id not in planned]

    async def _delete_own_volumes(self) -> None:
        """Delete the volumes that this apply created and that no machine uses."""
        found = await self.fly.list_volumes(self.plan.app)
        for volume in (v for v in found if v.id in self._volumes and not v.attached_machine_id):
            await self.fly.delete_volume(self.plan.app, volume.id)

    async def create_machine(
        self, step: CreateMachine, config: Json, secrets_version: int | None
    ) -> Machine:
        """Create a machine and take its lease, or find the one that a lost answer created.

        Args:
            step: names the machine.
            config: its whole config, with this release's record.
            secrets_version: the oldest version of the secrets that it may boot with.

        Raises:
            ChangedMeanwhileError: somebody else created it; the volume of this apply is deleted.
        """

        async def send() -> Machine:
            return await self.fly.create_machine(
                self.plan.app,
                step.name,
                step.region,
                config,
                min_secrets_version=secrets_version,
                lease_ttl_s=self.lease_ttl_s,
            )

        async def is_absent() -> bool:
            return await self._find_machine(step) is None

        try:
            return await sent_once_seen(send, secrets_version, is_absent)
        except LOST as error:
            found = await self._find_machine(step)
            if found is None or found.config is None:  # its host does not answer
                raise
            if differences(
                config, found.config
            ):  # another apply's: records and marks differ from run to run
                await self._delete_own_volumes()
                raise not_alone(step) from error
            return found

    async def _find_machine(self, step: CreateMachine) -> Machine | None:
        metadata = {ENVIRONMENT_KEY: self.plan.environment, SLOT_KEY: step.name}
        found = await self.fly.list_machines(self.plan.app, metadata)
        return found[0] if found else None


def not_alone(step: Step) -> ChangedMeanwhileError:
    """Return the error for an object that another apply created at the same time."""
    return ChangedMeanwhileError(
        "It was created after the plan was made: somebody else is applying too.",
        where=step.key,
        advice="Wait until they finish, then run the same command again.",
    )


def _is_first(made: str, found: Mapping[str, str]) -> bool:
    """Return whether an object is the oldest of its kind; equal times are ordered by name.

    Both applies list the objects after they created theirs, so the second always sees the first,
    and at most one of them continues.

    Args:
        made: the object's name.
        found: creation time by name, as Fly lists them.
    """
    if len(found) <= 1:  # Fly may list it under another name (an address has several forms)
        return True
    return made in found and made == min(found, key=lambda name: _order(found[name], name))


def _order(created_at: str, key: str) -> tuple[datetime, str]:
    try:
        at = datetime.fromisoformat(created_at)
    except ValueError:  # unknown: sort it after those with a time
        return datetime.max.replace(tzinfo=UTC), key
    return at.replace(tzinfo=at.tzinfo or UTC), key
