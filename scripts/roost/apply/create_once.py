"""Make what nobody holds a lease of yet: the app, its addresses, its volume, its machines.

Two who make them at once are told apart afterwards, for Fly has no lock before there is a machine,
and lets an app have several volumes of one name. Who came first goes on; who came second takes back
what it made itself and stops. A name is taken once, so of two machines one is refused at the door.
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
"""After these, the thing may exist: a lost answer, or a name that is taken, perhaps by us."""


@dataclass
class Creations:
    """Makes what a plan creates.

    Args:
        fly: the API.
        plan: made just now.
        lease_ttl_s: how long a new machine is ours alone.
    """

    fly: FlyClient
    plan: Plan
    lease_ttl_s: int
    _volumes: list[str] = field(default_factory=list)
    """Those made here, on which nobody has written yet."""

    async def create_app(self, step: CreateApp) -> None:
        """Create the app; an app of that name that is ours now is one whose answer was lost.

        Raises:
            ChangedMeanwhileError: somebody else made it.
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
        """Assign an address, unless a lost answer already did.

        Raises:
            ChangedMeanwhileError: somebody else was first, and ours is released.
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
        """Create the volume, or take the one that a lost answer left, and return its id.

        Raises:
            ChangedMeanwhileError: somebody else was first, and ours is gone again.
        """
        if await self._new_volumes(step):
            raise not_alone(step)
        try:
            made = await self.fly.create_volume(self.plan.app, step.fields)
        except LOST:
            found = await self._new_volumes(step)
            # Of two nobody can say which is ours, and one in use is somebody else's.
            if len(found) == 1 and not found[0].attached_machine_id:
                return found[0].id
            raise
        self._volumes.append(made.id)
        found = await self._new_volumes(step)
        if not _is_first(made.id, {volume.id: volume.created_at for volume in found}):
            await self._take_back()
            raise not_alone(step)
        return made.id

    async def _new_volumes(self, step: CreateVolume) -> list[Volume]:
        """Return the volumes of that name that came after the plan was made."""
        planned = {volume for volume, _ in self.plan.base["volumes"]}
        found = await self.fly.list_volumes(self.plan.app)
        return [v for v in found if v.name == step.fields["name"] and v.id not in planned]

    async def _take_back(self) -> None:
        """Remove the volumes that were made here and are as empty as they came."""
        found = await self.fly.list_volumes(self.plan.app)
        for volume in (v for v in found if v.id in self._volumes and not v.attached_machine_id):
            await self.fly.delete_volume(self.plan.app, volume.id)

    async def create_machine(
        self, step: CreateMachine, config: Json, secrets_version: int | None
    ) -> Machine:
        """Create a machine with its lease held, or take the one that a lost answer left.

        Args:
            step: names it.
            config: the whole of it, with this release's record.
            secrets_version: it is to boot with these secrets, or newer ones.

        Raises:
            ChangedMeanwhileError: somebody else made it, and the volume made here is gone again.
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

        async def not_made() -> bool:
            return await self._find_machine(step) is None

        try:
            return await sent_once_seen(send, secrets_version, not_made)
        except LOST as error:
            found = await self._find_machine(step)
            if found is None or found.config is None:  # of a host that does not answer
                raise
            if differences(config, found.config):  # its records and marks are those of one run
                await self._take_back()
                raise not_alone(step) from error
            return found

    async def _find_machine(self, step: CreateMachine) -> Machine | None:
        metadata = {ENVIRONMENT_KEY: self.plan.environment, SLOT_KEY: step.name}
        found = await self.fly.list_machines(self.plan.app, metadata)
        return found[0] if found else None


def not_alone(step: Step) -> ChangedMeanwhileError:
    """Return the error for what is to be made and is there: there is no lease to wait for yet."""
    return ChangedMeanwhileError(
        "It came to be after the plan was made: somebody else is applying too.",
        where=step.key,
        advice="Let them end, then run the same command again.",
    )


def _is_first(made: str, found: Mapping[str, str]) -> bool:
    """Return whether what was made came before all others of its kind; of one instant, by name.

    Who came second sees the first, since both look after they made theirs: at most one goes on.

    Args:
        made: its name.
        found: when each of its kind was made, as Fly lists them.
    """
    if len(found) <= 1:  # alone, whatever Fly calls it
        return True
    return made in found and made == min(found, key=lambda name: _order(found[name], name))


def _order(created_at: str, key: str) -> tuple[datetime, str]:
    try:
        at = datetime.fromisoformat(created_at)
    except ValueError:  # unknown: whatever says when it came goes first
        return datetime.max.replace(tzinfo=UTC), key
    return at.replace(tzinfo=at.tzinfo or UTC), key
