"""Create what a restore moves the data to: a volume filled from a snapshot, and its machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import anyio

from roost.apply.create_once import LOST
from roost.apply.work import LEASE_TTL_S, Work
from roost.errors import SnapshotError
from roost.fly.client import FlyClient
from roost.fly.models import Machine, Volume
from roost.plan.backups import Backup
from roost.plan.desired import Desired
from roost.plan.live import Live, read_live
from roost.plan.ownership import slot_of
from roost.plan.releases import Release, current, draft, releases_on
from roost.plan.restore import Restoring, goes_back, moved_config, restore_release, restoring
from roost.plan.steps import CreateVolume, Json
from roost.plan.volumes import create_volume

READY_LIMIT_S = 600
POLL_S = 1.0
READY = "created"


@dataclass(frozen=True)
class Replacement:
    """Creates the volume and the machine that take the place of the old ones.

    Args:
        work: what to change things with.
        desired: what the environment file asks for; it has a volume.
        git: the commit it comes from, empty when unknown.
    """

    work: Work
    desired: Desired
    git: str

    @property
    def app(self) -> str:
        """The app that is changed."""
        return self.desired.app

    async def make_volume(self, state: Restoring, backup: Backup | None) -> Volume:
        """Create the volume from the snapshot, or find the one that a lost answer created."""
        source = "" if state.journal.is_move else f" from the snapshot {state.journal.snapshot}"
        self.work.notice(f"create a volume{source}")
        step = self.volume_step(state.journal.snapshot, backup)
        try:
            return await self.work.fly.create_volume(self.app, step.fields)
        except LOST:
            live = await read_live(self.work.fly, self.app)
            again = restoring(self.desired, live)
            if again is None or again.volume is None:
                raise
            return again.volume

    def volume_step(self, snapshot: str, backup: Backup | None) -> CreateVolume:
        """Return the step for a volume as the file asks for, at least as large as the snapshot's."""
        assert self.desired.volume is not None  # noqa: S101 - only an environment with a volume is restored
        step = create_volume(self.desired, self.desired.volume)
        size = max(step.fields["size_gb"], backup.volume_gb if backup else 0)
        return replace(step, fields={**step.fields, "snapshot_id": snapshot, "size_gb": size})

    async def make_machine(
        self, state: Restoring, volume: Volume, backup: Backup | None
    ) -> Machine:
        """Create the machine, or find the one that a lost answer created."""
        name = f"{slot_of(state.old)}-r{state.journal.number}"
        self.work.notice(f"create the machine {name}")
        config = self.config(state, volume.id, backup)
        try:
            machine = await self.work.fly.create_machine(
                self.app, name, state.old.region, config, lease_ttl_s=LEASE_TTL_S
            )
        except LOST:
            live = await read_live(self.work.fly, self.app)
            again = restoring(self.desired, live)
            if again is None or again.new is None:
                raise
            machine = again.new
        if machine.nonce:
            await self.work.leases.hold(machine.id, machine.nonce)
        return machine

    def config(self, state: Restoring, volume: str, backup: Backup | None) -> Json:
        """Return the new machine's config."""
        return moved_config(state, volume, self.record(state, backup))

    def record(self, state: Restoring, backup: Backup | None) -> Release:
        """Return the release record that the new machine carries."""
        known = releases_on([state.old])
        asked = draft(self.desired, Live(), known)
        assert asked is not None  # noqa: S101 - an environment with a volume has a machine
        base = current(known) or asked
        if backup and goes_back(backup, state.old, self.desired):
            base = replace(asked, secrets=base.secrets)
        return restore_release(base, state.journal, self.git)


async def wait_until_filled(
    fly: FlyClient, app: str, volume: str, *, is_empty: bool = False
) -> None:
    """Wait until Fly has filled a volume from its snapshot, or has made one that is empty.

    Raises:
        SnapshotError: it was not ready within the limit.
    """
    with anyio.move_on_after(READY_LIMIT_S):
        while True:
            volumes = await fly.list_volumes(app)
            if any(v.id == volume and v.state == READY for v in volumes):
                return
            await anyio.sleep(POLL_S)
    what = f"The volume {volume} was not filled from its snapshot within {READY_LIMIT_S} s."
    if is_empty:
        what = f"Fly did not make the volume {volume} ready within {READY_LIMIT_S} s."
    raise SnapshotError(what, where=app)
