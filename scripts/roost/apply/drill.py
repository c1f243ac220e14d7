"""Practise a restore beside the server: in an app of its own, removed again whatever happens.

Through one app's proxy a machine beside the server would get its visitors, and without services the
gate could not reach it. An app of its own has an address of its own, and goes with all it holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from roost.apply.executor import LEASE_TTL_S, Work
from roost.apply.verdict import TIMEOUT_S, Judgement, Proof
from roost.environment.model import AUTH_SECRET
from roost.errors import FlyConflictError, FlyRejectedError, SnapshotError
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
from roost.prefect.object_counts import count_rows
from roost.prefect.probe import Server
from roost.prefect.transport import prefect_client

READY_LIMIT_S = 600
POLL_S = 1.0
REMOVE_LIMIT_S = 60
REFUSED = (FlyRejectedError, FlyConflictError)
"""After these an app of that name is somebody else's; after a lost answer it may be the drill's."""


@dataclass(frozen=True)
class Drilled:
    """How a drill went: the gate's verdict, and what the restored server holds."""

    judged: Judgement
    rows: dict[str, int]


@dataclass(frozen=True)
class Driller:
    """Practises one environment's restore.

    Args:
        work: what to make things with; its leases are of the app below.
        proof: the gate, for that app; its login is made up for the drill.
        desired: the environment that is restored.
    """

    work: Work
    proof: Proof
    desired: Desired

    async def drill(self, backup: Backup, machine: Machine | None) -> Drilled:
        """Restore a backup, prove the server, count what it holds, and remove it all.

        Args:
            backup: what to restore.
            machine: what runs now, whose config is tried; None where nothing does.

        Raises:
            UnappliableError: an app of the drill's name is there and is no drill's.
            RoostError: Fly refused; everything is removed.
        """
        await self._clear()
        async with self._app():
            return await self._try(backup, machine)

    async def _clear(self) -> None:
        """Remove what a drill that was killed left behind; one that runs is waited for."""
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
        assert self.proof.auth is not None  # noqa: S101 - whoever drills makes one up
        await fly.set_secrets(name, {AUTH_SECRET: self.proof.auth})
        for kind in IP_TYPES:
            await fly.assign_ip(name, kind)
        self.work.notice(f"create a volume from the snapshot {backup.snapshot}")
        volume = await fly.create_volume(name, drill_volume(self.desired, backup))
        await self._wait_until_ready(volume.id)
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
        judged = await self.proof.judge(
            {made.id: made.instance_id}, version_of(self.desired, machine), ()
        )
        return Drilled(judged, await rows_of(self.proof) if judged.good else {})

    async def _wait_until_ready(self, volume: str) -> None:
        with anyio.move_on_after(READY_LIMIT_S):
            while True:
                found = await self.work.fly.list_volumes(self.proof.app)
                if any(v.id == volume and v.state == "created" for v in found):
                    return
                await anyio.sleep(POLL_S)
        raise SnapshotError(
            f"The volume {volume} was not filled from its snapshot within {READY_LIMIT_S} s.",
            where=self.proof.app,
        )


async def rows_of(proof: Proof) -> dict[str, int]:
    """Return how much a server holds."""
    url = await proof.find_url()
    async with prefect_client(url, TIMEOUT_S, headers=GATE_HEADERS) as http:
        return await count_rows(Server(http, proof.auth))
