"""Remove a server. Its data goes last, after a final snapshot of it is complete.

Fly reaches a snapshot only through its app, and deletes it with the app. So an app that had data
stays, empty: it costs nothing, and a restore finds the snapshot there.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from roost.apply import start_stop
from roost.apply.snapshots import AT_REST, Snapshots
from roost.apply.trial import remove_trials
from roost.apply.work import Work
from roost.errors import FlyConflictError, RoostError
from roost.fly.models import Machine
from roost.plan.desired import Desired
from roost.plan.destroy import LAST_KEPT_DAYS, check_all_ours, data_volumes
from roost.plan.live import Live, read_live

POLL_S = 1.0
DETACH_TRIES = 30


@dataclass(frozen=True)
class Last:
    """The final snapshot of a volume."""

    volume: str
    snapshot: str
    in_use: bool = True
    """Whether the server used the volume; a volume that a restore retained holds older data."""


@dataclass(frozen=True)
class Destroyer:
    """Removes one environment's server.

    Args:
        work: what to change things with.
        snapshots: takes the final snapshots.
        desired: what the environment file asks for.
    """

    work: Work
    snapshots: Snapshots
    desired: Desired

    async def destroy(self, live: Live) -> tuple[Last, ...]:
        """Remove everything and return the final snapshots; a second run finishes an interrupted one.

        Raises:
            UnappliableError: the app has objects that Roost did not create; nothing was changed.
            RoostError: it stopped on the way; no volume without a snapshot was deleted.
        """
        check_all_ours(self.desired, live)
        fly, app = self.work.fly, self.desired.app
        await remove_trials(fly, app, live)
        last = await self._snapshot_all(live)
        for machine in live.machines:
            self.work.notice(f"remove the machine {machine.id}")
            await fly.destroy_machine(app, machine.id, await self.work.leases.take(machine.id))
        for volume in live.volumes:
            self.work.notice(f"remove the volume {volume.id}")
            await self._delete_volume(volume.id)
        for ip in live.ips:
            self.work.notice(f"release the address {ip.ip}")
            await fly.release_ip(app, ip.ip)
        if live.secrets:
            self.work.notice("remove the secrets")
            await fly.set_secrets(app, {secret.name: None for secret in live.secrets})
        if self.desired.volume is None and live.app is not None:
            self.work.notice(f"remove the app {app}")
            await fly.delete_app(app)
        return last

    async def _snapshot_all(self, live: Live) -> tuple[Last, ...]:
        """Stop all writes, then take the snapshots. If one fails, the server serves again."""
        volumes = data_volumes(self.desired, live)
        if not volumes:
            return ()
        try:
            for machine in live.machines:
                await self._stop(machine)
            now = await read_live(self.work.fly, self.desired.app)
            used = {machine.mounted_volume for machine in live.machines}
            # The volume in use comes last: its snapshot is the newest, which a restore takes by default.
            in_order = sorted(volumes, key=lambda volume: volume.id in used)
            return tuple([await self._last(v.id, now, in_use=v.id in used) for v in in_order])
        except RoostError:
            for machine in live.machines:
                nonce = await self.work.leases.hold(machine.id)
                await self.work.fly.uncordon_machine(self.desired.app, machine.id, nonce)
            raise

    async def _stop(self, machine: Machine) -> None:
        fly, app = self.work.fly, self.desired.app
        nonce = await self.work.leases.hold(machine.id)
        await fly.cordon_machine(app, machine.id, nonce)
        # It may have woken since it was listed. Cordoned, no request can wake it any more.
        now = await fly.get_machine(app, machine.id)
        if now is None or now.state in AT_REST | {"failed", "launch_failed"}:
            return
        self.work.notice(f"stop the machine {machine.id}")
        await start_stop.stop_flushed(fly, app, now, nonce)

    async def _last(self, volume: str, live: Live, *, in_use: bool) -> Last:
        """Take the final snapshot. Fly keeps it as long as its volume's retention says at that moment."""
        fly, app = self.work.fly, self.desired.app
        await fly.update_volume(app, volume, snapshot_retention=LAST_KEPT_DAYS)
        return Last(volume, (await self.snapshots.take(volume, live.machines)).snapshot, in_use)

    async def _delete_volume(self, volume: str) -> None:
        """Delete a volume. Fly refuses while it still shows the destroyed machine as attached."""
        for left in reversed(range(DETACH_TRIES)):
            try:
                await self.work.fly.delete_volume(self.desired.app, volume)
            except FlyConflictError:
                if not left:
                    raise
                await anyio.sleep(POLL_S)
            else:
                return
