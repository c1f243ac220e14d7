"""Practise a restore in a temporary app, which is removed whether the drill passes or not.

A second machine in the server's own app would receive a part of its requests, and without services
the gate could not reach it. A separate app has an address of its own and is removed as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from roost.apply.restore_replacement import wait_until_filled
from roost.apply.verdict import TIMEOUT_S, GateResult, Proof
from roost.apply.work import LEASE_TTL_S, Work
from roost.environment.model import AUTH_SECRET
from roost.errors import FlyConflictError, FlyRejectedError
from roost.fly.models import Machine
from roost.plan.backups import Backup
from roost.plan.desired import Desired
from roost.plan.drill_config import (
    IP_TYPES,
    check_leftovers,
    drill_config,
    drill_volume,
    version_of,
)
from roost.plan.live import read_live
from roost.prefect.gate_pages import GATE_HEADERS
from roost.prefect.object_counts import count_objects
from roost.prefect.probe import Server

REMOVE_LIMIT_S = 60
REFUSED = (FlyRejectedError, FlyConflictError)
"""Errors after which an app of that name is somebody else's, so the drill must not remove it."""


@dataclass(frozen=True)
class Drilled:
    """The result of a drill: the gate's result, and how many objects the restored server holds."""

    judged: GateResult
    rows: dict[str, int]


@dataclass(frozen=True)
class Driller:
    """Practises one environment's restore.

    Args:
        work: what to change things with; its leases are for the drill's app.
        proof: runs the gate for that app, with a login generated for the drill.
        desired: the environment whose restore is practised.
    """

    work: Work
    proof: Proof
    desired: Desired

    async def drill(self, backup: Backup, machine: Machine | None) -> Drilled:
        """Restore a backup, run the gate, count the objects, and remove the temporary app.

        Args:
            backup: the backup to restore.
            machine: the live machine, whose config the drill uses; None if there is none.

        Raises:
            UnappliableError: an app of the drill's name exists that no drill created.
            RoostError: Fly refused a change; everything that was created is removed.
        """
        await self._clear()
        async with self._app():
            return await self._try(backup, machine)

    async def _clear(self) -> None:
        """Remove the app of a drill that was killed; wait for one that still runs."""
        fly, name = self.work.fly, self.proof.app
        live = await read_live(fly, name)
        if live.app is None:
            return
        check_leftovers(self.desired, live.app, live)
        for machine in live.machines:
            await self.work.leases.take(machine.id)
        self.work.notice(f"remove the app {name}, which an earlier drill left")
        await fly.delete_app(name)

    @asynccontextmanager
    async def _app(self) -> AsyncIterator[None]:
        name = self.proof.app
        self.work.notice(f"create the app {name}")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._remove_app)
            try:
                await self.work.fly.create_app(name, self.desired.organization)
            except REFUSED:
                stack.pop_all()
                raise
            yield

    async def _remove_app(self) -> None:
        with anyio.move_on_after(REMOVE_LIMIT_S, shield=True):
            self.work.notice(f"remove the app {self.proof.app}")
            await self.work.fly.delete_app(self.proof.app)

    async def _try(self, backup: Backup, machine: Machine | None) -> Drilled:
        fly, name = self.work.fly, self.proof.app
        assert self.proof.auth is not None  # noqa: S101 - the command generates one
        await fly.set_secrets(name, {AUTH_SECRET: self.proof.auth})
        for kind in IP_TYPES:
            await fly.assign_ip(name, kind)
        self.work.notice(f"create a volume from the snapshot {backup.snapshot}")
        volume = await fly.create_volume(name, drill_volume(self.desired, backup))
        await wait_until_filled(fly, name, volume.id)
        self.work.notice("create a machine")
        made = await fly.create_machine(
            name,
            "drill",
            volume.region or self.desired.machines[0].region,
            drill_config(self.desired, machine, volume.id),
            lease_ttl_s=LEASE_TTL_S,
        )
        if made.nonce:
            await self.work.leases.hold(made.id, made.nonce)
        judged = await self.proof.run_gate(
            {made.id: made.instance_id}, version_of(self.desired, machine), ()
        )
        return Drilled(judged, await rows_of(self.proof) if judged.good else {})


async def rows_of(proof: Proof) -> dict[str, int]:
    """Return how many objects of each kind a server holds."""
    url = await proof.find_url()
    async with proof.open_server(url, TIMEOUT_S, headers=GATE_HEADERS) as http:
        return await count_objects(Server(http, proof.auth))
