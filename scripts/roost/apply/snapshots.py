"""Take snapshots of a volume, wait until they are complete, and keep SQLite consistent in them.

A snapshot copies blocks. A running server of Roost's image freezes writes meanwhile; a stopped one has
flushed everything. In any other case the copy is as after a power cut: SQLite recovers from it, but
the last acknowledged rows can be missing. A notice says so.
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
from roost.plan.database_move import is_copier
from roost.plan.desired import VOLUME_NAME
from roost.plan.image import is_our_image
from roost.plan.other_database import chosen_elsewhere
from roost.plan.releases import releases_on
from roost.prefect.gate_pages import ask_report
from roost.prefect.read_checks import SQLITE, WANTED
from roost.prefect.server import Server
from roost.prefect.write_freeze import NotFrozenError, NothingToFreezeError, freeze_writes

LIMIT_S = 600
POLL_S = 1.0
SHOWS_WITHIN_S = 10.0
"""Seconds until Fly lists a new snapshot, complete or not, after a request without an answer."""
DONE = "created"
# Not "suspended": such a machine has unflushed data. The request that freezes writes wakes it.
AT_REST = frozenset({"stopped", "created"})


@dataclass(frozen=True)
class Taken:
    """A complete snapshot, and the state of its volume when it was taken."""

    snapshot: str
    rest: Rest


@dataclass(frozen=True)
class Snapshots:
    """Takes the snapshots of one app.

    Args:
        proof: how its server is reached.
        notice: called with a line for each action, and if writes cannot be frozen.
        volume_name: the name of the environment's volumes.
        poll_s: seconds between two reads of an unfinished snapshot.
    """

    proof: Proof
    notice: Notice
    volume_name: str = VOLUME_NAME
    poll_s: float = POLL_S

    async def take(
        self, volume: str, machines: Iterable[Machine], *, must_hold: bool = False
    ) -> Taken:
        """Take a snapshot of a volume and wait until it is complete.

        Args:
            volume: id of the volume.
            machines: the machines of the app, one of which may use the volume.
            must_hold: whether it is an error if a running server of Roost's image cannot freeze
                writes.

        Raises:
            OtherDatabaseError: the server's data is not on that volume.
            NotHeldStillError: writes must be frozen, and cannot be.
            SnapshotError: the snapshot was not complete within the limit.
            FlyError: Fly refused.
        """
        user = next((m for m in machines if m.mounted_volume == volume), None)
        if not self.proof.freezes:
            return await self._take_as_it_is(volume, user)
        if user is not None:
            await self.check_database(user)
        self.notice(f"take a snapshot of the volume {volume}")
        if user is None or await self._rests(user):
            taken = Taken(await self._take(volume), Rest.STOPPED)
            if user is None or await self._rests(user):
                return taken
            self.notice("the server woke meanwhile: take another snapshot")
        if not is_our_image(str((user.config or {}).get("image", ""))):
            self.notice("the image is not Roost's: writes are not frozen during the snapshot")
            return Taken(await self._take(volume), Rest.RUNNING)
        try:
            return await self._take_frozen(volume)
        except NothingToFreezeError as reason:
            raise self._other_database(str(reason), ()) from reason
        except NotFrozenError as reason:
            if must_hold:
                raise self._not_frozen(user, str(reason)) from reason
            self.notice(
                f"the server cannot freeze writes ({reason}): the snapshot is as after a power cut"
            )
        return Taken(await self._take(volume), Rest.RUNNING)

    async def _take_as_it_is(self, volume: str, user: Machine | None) -> Taken:
        """Take a snapshot of a Redis, whose file can be read as it is at any moment."""
        self.notice(f"take a snapshot of the volume {volume}")
        rests = user is None or await self._rests(user)
        return Taken(await self._take(volume), Rest.STOPPED if rests else Rest.RUNNING)

    async def check_database(self, machine: Machine) -> None:
        """Check that a server's data is on its volume.

        A running server of Roost's image reports its database; for any other, the names of its
        settings and secrets have to do.

        Raises:
            OtherDatabaseError: the data is elsewhere.
            FlyError: Fly refused.
        """
        ours = is_our_image(str((machine.config or {}).get("image", "")))
        if is_copier(machine.config):  # it was interrupted, and the file on the volume is the data
            return
        if ours and not await self._rests(machine) and (found := await self._reported()):
            if found != WANTED[SQLITE]:
                raise self._other_database(f"its database is {found}", ())
            return
        secrets = await self.proof.fly.list_secrets(self.proof.app)
        if names := chosen_elsewhere(machine, secrets):
            raise self._other_database("it was given another database", names)

    async def _reported(self) -> str:
        """Return the kind of database that a server reports; empty if it reports none."""
        url = await self.proof.find_url()
        async with self.proof.open_server(url, TIMEOUT_S) as http:
            report = await ask_report(Server(http, self.proof.auth))
        return report.database if report else ""

    def _other_database(self, reason: str, names: tuple[str, ...]) -> OtherDatabaseError:
        by = f" by {', '.join(names)}" if names else ""
        unless = (
            " If it names the file on the volume itself, wake the server and run this again: a "
            "server of Roost's image then reports which database it uses."
        )
        return OtherDatabaseError(
            f"The server's data is not on its volume: {reason}{by}. A snapshot of the volume would miss it.",
            where=self.proof.app,
            advice=(
                f"Remove {', '.join(names) or 'the setting or secret that names it'}; or set "
                "database.backend: postgres, whose backups are made where that database runs."
                f"{unless if names else ''}"
            ),
        )

    def _not_frozen(self, machine: Machine, reason: str) -> NotHeldStillError:
        return NotHeldStillError(
            f"No backup was made: the server cannot freeze writes to its database ({reason}).",
            where=self.proof.app,
            advice=(
                "See its log, correct the cause and run this again. To copy it without a freeze, stop it first: "
                f"`fly machine stop {machine.id} -a {self.proof.app}`."
            ),
        )

    async def _rests(self, machine: Machine) -> bool:
        """Return whether a machine is stopped now."""
        now = await self.proof.fly.get_machine(self.proof.app, machine.id)
        return now is None or now.state in AT_REST

    async def back_up(self, volume: str, machines: Iterable[Machine], why: str) -> Taken:
        """Take a snapshot that a person asked for, and write a note of it on the volume's machine.

        Raises:
            OtherDatabaseError: the server's data is not on that volume.
            NotHeldStillError: the server runs, and cannot freeze writes.
            SnapshotError: the snapshot was not complete within the limit.
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
        """Return every backup of an environment, the newest first, deleted volumes included."""
        machines = tuple(machines)
        names = {VOLUME_NAME, self.volume_name}
        found = {}
        for volume in await self.proof.fly.list_volumes(self.proof.app, dying=True):
            if volume.name in names:
                found[volume.id] = await self._snapshots_of(volume.id)
        return list_backups(found, machines, releases_on(machines))

    async def _snapshots_of(self, volume: str) -> tuple[Snapshot, ...]:
        try:
            return await self.proof.fly.list_snapshots(self.proof.app, volume)
        except FlyNotFoundError:  # deleted since it was listed
            return ()

    async def _take_frozen(self, volume: str) -> Taken:
        url = await self.proof.find_url()
        async with (
            self.proof.open_server(url, TIMEOUT_S) as http,
            freeze_writes(http, self.proof.auth) as freeze,
        ):
            snapshot = await self._take(volume)
            lasted = await freeze.lasts()
        return Taken(snapshot, Rest.HELD if lasted else Rest.FLUSHED)

    async def _take(self, volume: str) -> str:
        """Take a snapshot and return its id once it is complete.

        Fly's answer has no id (https://docs.machines.dev), so the new snapshot is found by comparing
        lists. That also finds it if the answer was lost.
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
            f"The snapshot of the volume {volume} was not complete within {LIMIT_S} s.",
            where=app,
            advice="Nothing was changed. See `fly volumes snapshots list`, then run the same command again.",
        )

    async def _ask_for_one(self, volume: str) -> FlyUnavailableError | None:
        """Ask for a snapshot; return the error of a lost answer, after which it may exist."""
        try:
            await self.proof.fly.create_snapshot(self.proof.app, volume)
        except FlyUnavailableError as failure:
            if not failure.ambiguous:
                raise
            return failure
        return None
