"""Snapshots of a volume, each waited for, and in a state that SQLite can be started from.

A snapshot copies blocks. While a server of ours runs it holds its database still for that; one that
is stopped has flushed everything. What can be neither is copied as a power cut would leave it, which
SQLite recovers from, but without what was acknowledged last: that is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import anyio

from roost.apply.verdict import TIMEOUT_S, Proof
from roost.errors import (
    FlyNotFoundError,
    FlyUnavailableError,
    NotHeldStillError,
    OtherDatabaseError,
    SnapshotError,
)
from roost.fly.leases import Notice
from roost.fly.models import Machine, Snapshot
from roost.plan.backups import Backup, Note, Rest, list_backups, with_note
from roost.plan.desired import VOLUME_NAME
from roost.plan.image import is_our_image
from roost.plan.other_database import chosen_elsewhere
from roost.plan.releases import releases_on
from roost.prefect.gate_pages import ask_report
from roost.prefect.read_checks import SQLITE, WANTED
from roost.prefect.server import Server
from roost.prefect.transport import prefect_client
from roost.prefect.write_freeze import NotHeldError, NothingToHoldError, held

LIMIT_S = 600
POLL_S = 1.0
SHOWS_WITHIN_S = 10.0
"""So soon one is listed, though not whole, that was asked for by a call without an answer."""
DONE = "created"
# A suspended machine has not flushed what it remembers; the request that holds it wakes it.
AT_REST = frozenset({"stopped", "created"})


@dataclass(frozen=True)
class Taken:
    """A snapshot that is whole, and how still its volume was."""

    snapshot: str
    rest: Rest


@dataclass(frozen=True)
class Snapshots:
    """Takes the snapshots of one app.

    Args:
        proof: how its server is reached.
        notice: told of what is done, and of a server that does not hold still.
        poll_s: between two looks at a snapshot in the making.
    """

    proof: Proof
    notice: Notice
    poll_s: float = POLL_S

    async def take(
        self, volume: str, machines: Iterable[Machine], *, must_hold: bool = False
    ) -> Taken:
        """Take a snapshot of a volume and return its id once it is whole.

        Args:
            volume: what is copied.
            machines: those of the app, one of which may use it.
            must_hold: whether a running server of our image that does not hold still is a failure.

        Raises:
            OtherDatabaseError: the server's data is not on that volume.
            NotHeldStillError: it is to hold still, and does not.
            SnapshotError: it was not whole within the limit.
            FlyError: Fly refused.
        """
        user = next((m for m in machines if m.mounted_volume == volume), None)
        if user is not None:
            await self.check_database(user)
        self.notice(f"take a snapshot of the volume {volume}")
        if user is None or await self._rests(user):
            taken = Taken(await self._take(volume), Rest.STOPPED)
            if user is None or await self._rests(user):
                return taken
            self.notice("the server woke meanwhile: take another")
        if not is_our_image(str((user.config or {}).get("image", ""))):
            self.notice("the image is not ours: nothing holds its database still")
            return Taken(await self._take(volume), Rest.RUNNING)
        try:
            return await self._take_held(volume)
        except NothingToHoldError as reason:
            raise self._other_database(str(reason), ()) from reason
        except NotHeldError as reason:
            if must_hold:
                raise self._not_still(user, str(reason)) from reason
            self.notice(f"the server does not hold still ({reason}): copied as after a power cut")
        return Taken(await self._take(volume), Rest.RUNNING)

    async def check_database(self, machine: Machine) -> None:
        """See that a server's data is on its volume: asked of one of ours that runs, else by names.

        Raises:
            OtherDatabaseError: it is not.
            FlyError: Fly refused.
        """
        ours = is_our_image(str((machine.config or {}).get("image", "")))
        if ours and not await self._rests(machine) and (found := await self._reported()):
            if found != WANTED[SQLITE]:
                raise self._other_database(f"its database is {found}", ())
            return
        secrets = await self.proof.fly.list_secrets(self.proof.app)
        if names := chosen_elsewhere(machine, secrets):
            raise self._other_database("it was given another database", names)

    async def _reported(self) -> str:
        """Return which database a server reports; empty where it is not told."""
        url = await self.proof.find_url()
        async with prefect_client(url, TIMEOUT_S) as http:
            report = await ask_report(Server(http, self.proof.auth))
        return report.database if report else ""

    def _other_database(self, reason: str, names: tuple[str, ...]) -> OtherDatabaseError:
        by = f" by {', '.join(names)}" if names else ""
        unless = (
            " If it names the file on the volume itself, wake the server and run this again: a "
            "server of Roost's image then reports which database it uses."
        )
        return OtherDatabaseError(
            f"The server's data is not on its volume: {reason}{by}. No copy of the volume would hold it.",
            where=self.proof.app,
            advice=(
                f"Remove {', '.join(names) or 'the setting or secret that names it'}; or set "
                "database.backend: postgres, whose backups are made where that database runs."
                f"{unless if names else ''}"
            ),
        )

    def _not_still(self, machine: Machine, reason: str) -> NotHeldStillError:
        return NotHeldStillError(
            f"No backup was made: the server does not hold its database still ({reason}).",
            where=self.proof.app,
            advice=(
                "See its log, mend it and run this again. To copy it as it is, bring it to rest first: "
                f"`fly machine stop {machine.id} -a {self.proof.app}`."
            ),
        )

    async def _rests(self, machine: Machine) -> bool:
        """Return whether a machine is down now; it was looked at a while ago."""
        now = await self.proof.fly.get_machine(self.proof.app, machine.id)
        return now is None or now.state in AT_REST

    async def back_up(self, volume: str, machines: Iterable[Machine], why: str) -> Taken:
        """Take a snapshot that a person asked for, and note it on the volume's machine.

        Raises:
            OtherDatabaseError: the server's data is not on that volume.
            NotHeldStillError: the server runs, and does not hold still.
            SnapshotError: it was not whole within the limit.
            FlyError: Fly refused.
        """
        machines = tuple(machines)
        taken = await self.take(volume, machines, must_hold=True)
        for machine in machines:
            if machine.mounted_volume == volume:
                note = with_note(machine, taken.snapshot, Note(why, taken.rest))
                await self.proof.fly.patch_metadata(self.proof.app, machine.id, note)
        return taken

    async def list(self, machines: Iterable[Machine]) -> tuple[Backup, ...]:
        """Return every backup of an environment, the newest first; those of deleted volumes too."""
        machines = tuple(machines)
        found = {}
        for volume in await self.proof.fly.list_volumes(self.proof.app, dying=True):
            if volume.name == VOLUME_NAME:
                found[volume.id] = await self._snapshots_of(volume.id)
        return list_backups(found, machines, releases_on(machines))

    async def _snapshots_of(self, volume: str) -> tuple[Snapshot, ...]:
        try:
            return await self.proof.fly.list_snapshots(self.proof.app, volume)
        except FlyNotFoundError:  # gone since it was listed
            return ()

    async def _take_held(self, volume: str) -> Taken:
        url = await self.proof.find_url()
        async with (
            prefect_client(url, TIMEOUT_S) as http,
            held(http, self.proof.auth) as hold,
        ):
            snapshot = await self._take(volume)
            lasted = await hold.lasts()
        return Taken(snapshot, Rest.HELD if lasted else Rest.FLUSHED)

    async def _take(self, volume: str) -> str:
        """Fly's answer names no id (https://docs.machines.dev), so it is the one that was not there.

        It shows as well where that answer was lost and the call was carried out.
        """
        fly, app = self.proof.fly, self.proof.app
        before = {snapshot.id for snapshot in await fly.list_snapshots(app, volume)}
        lost = await self._ask_for_one(volume)
        patience = anyio.current_time() + SHOWS_WITHIN_S
        with anyio.move_on_after(LIMIT_S):
            while True:
                found = await fly.list_snapshots(app, volume)
                new = [snapshot for snapshot in found if snapshot.id not in before]
                for snapshot in new:
                    if snapshot.status == DONE:
                        return snapshot.id
                if lost and not new and anyio.current_time() > patience:
                    raise lost
                await anyio.sleep(self.poll_s)
        raise SnapshotError(
            f"The snapshot of the volume {volume} was not whole within {LIMIT_S} s.",
            where=app,
            advice="Nothing was changed. Look at `fly volumes snapshots list` and run it again.",
        )

    async def _ask_for_one(self, volume: str) -> FlyUnavailableError | None:
        """Ask for a snapshot; return the failure after which it may be in the making all the same."""
        try:
            await self.proof.fly.create_snapshot(self.proof.app, volume)
        except FlyUnavailableError as failure:
            if not failure.ambiguous:
                raise
            return failure
        return None
