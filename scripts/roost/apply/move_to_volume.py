"""Move a server's data from PostgreSQL to a new volume, on a new machine, as a restore does.

The journal, the order and the way back are those of a restore (apply/restore.py). The new machine copies
the rows before it serves, while the old machine is stopped. PostgreSQL is only read and stays as it is.
Once the new server may have admitted clients, nothing goes back: PostgreSQL lacks what they wrote.
"""

from __future__ import annotations

from dataclasses import replace

from roost.apply import start_stop
from roost.apply.copy_database import CopyWatch, outcome, show
from roost.apply.restore import Restorer
from roost.apply.restore_replacement import Replacement
from roost.apply.verdict import Proof
from roost.errors import DatabaseMoveError, FlyUnavailableError, UnappliableError
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.backups import Backup
from roost.plan.database_move import is_copier
from roost.plan.desired import named_database
from roost.plan.live import Live
from roost.plan.ownership import is_ours
from roost.plan.releases import Release
from roost.plan.restore import FROM_POSTGRES, Restoring
from roost.plan.steps import CreateVolume, Json
from roost.plan.volume_move import filling_config, move_release, served_config
from roost.plan.volumes import create_volume
from roost.prefect.probe import CheckResult


class VolumeReplacement(Replacement):
    """Creates an empty volume, and a machine that fills it."""

    def volume_step(self, _snapshot: str, _backup: Backup | None) -> CreateVolume:
        """Return the step for the volume that the file asks for."""
        assert self.desired.volume is not None  # noqa: S101 - `VolumeMover.settle` undoes otherwise
        return create_volume(self.desired, self.desired.volume)

    def config(self, state: Restoring, volume: str, backup: Backup | None) -> Json:
        """Return the config of a machine that copies."""
        served = served_config(self.desired, state, volume, self.record(state, backup))
        return filling_config(served, state.old)

    def record(self, state: Restoring, _backup: Backup | None) -> Release:
        """Return the release record that the new machine carries."""
        return move_release(self.desired, state.old, state.journal, self.git)


class VolumeMover(Restorer):
    """Moves the data of one environment from PostgreSQL to a new volume."""

    @property
    def _replacement(self) -> VolumeReplacement:
        return VolumeReplacement(self.work, self.desired, self.git)

    async def move(self) -> tuple[CheckResult, ...]:
        """Move the data, or continue a move that was interrupted.

        Raises:
            DatabaseMoveError: it did not move; the server serves its PostgreSQL again.
            NotRolledBackError: neither the new machine nor the old one serves, or the new one may have
                admitted clients.
            UnappliableError: it cannot move; nothing was changed.
            RoostError: the move stopped on the way; running it again continues it.
        """
        return await self.restore(Backup(FROM_POSTGRES, "", "", 0, 0, "", "", "", ""))

    async def settle(self) -> None:
        """Finish a move that was interrupted; undo it where the file asks for PostgreSQL again.

        Raises:
            DatabaseMoveError: it did not move; the server serves its PostgreSQL again.
            NotRolledBackError: neither the new machine nor the old one serves, or the new one may have
                admitted clients.
            UnappliableError: the file asks for PostgreSQL, and the new one may have admitted clients.
        """
        state, _ = await self._look()
        if state is None or state.proved or self.desired.volume is not None:
            await super().settle()
            return
        if self._must_go_on(state):
            raise UnappliableError(
                "The data has moved to a volume, and its server may have admitted clients already. "
                "The file asks for PostgreSQL, which lacks what they wrote.",
                where=self.desired.environment,
                advice=(
                    "Set database.backend to sqlite, and finish the move: "
                    f"{state.journal.again(self.desired.environment)}"
                ),
            )
        why = "The file asks for PostgreSQL again."
        unused = state.new is not None or not state.journal.why
        result = await self._undo.undo(state, why, fresh=unused)
        if not result.good:
            raise await self._undo.not_undone(state.journal, why, result.why)
        self.work.notice(f"{state.journal.what}, which was interrupted, is undone")

    def _must_go_on(self, state: Restoring) -> bool:
        """Return whether the new server may have admitted clients; it also does so by itself in time."""
        return state.new is not None and not is_copier(state.new.config)

    async def _refuse_to_undo(self, state: Restoring, why: str) -> None:
        """Leave the new machine as it is, and have a later undo keep its volume.

        Raises:
            NotRolledBackError: always.
        """
        raise await self._undo.left(state, why)

    def _only_machine(self, live: Live) -> Machine:
        ours = [machine for machine in live.machines if is_ours(machine, self.desired)]
        if len(ours) != 1 or named_database(ours[0].config or {}) != "postgres":
            raise UnappliableError(
                f"{self.app} does not have exactly one machine on PostgreSQL whose host answers.",
                where=self.desired.environment,
                advice=f"See `{Command('plan', self.desired.environment)}`.",
            )
        return ours[0]

    async def _check_source(self, _old: Machine, _backup: Backup) -> None:
        """Check nothing here: the machine that copies checks the database itself."""

    async def _take_safety_snapshot(self, state: Restoring) -> Restoring:
        """Take none: PostgreSQL is only read, and the volume is new."""
        return state

    async def _filled(self, state: Restoring, new: Machine) -> Machine:
        """Wait until the new machine has copied the rows, then have it serve them."""
        if is_copier(new.config):
            watch = CopyWatch(self.work.notice, self.work.more_time)
            result = await outcome(self.work.fly, self.app, new, watch)
            if result.error:
                raise DatabaseMoveError(result.error)
            show(result, self.work.notice)
            new = await self._serve(state, new)
        elif new.state not in start_stop.RUNNING:  # it was interrupted after the update
            nonce = await self.work.leases.hold(new.id)
            await start_stop.start(self.work.fly, self.app, new.id, nonce)
        return new

    async def _serve(self, state: Restoring, copier: Machine) -> Machine:
        """Give the machine the config with which it serves, and start it."""
        fly, nonce = self.work.fly, await self.work.leases.hold(copier.id)
        self.work.notice("start the server on its volume")
        record = self._replacement.record(state, None)
        config = served_config(self.desired, state, copier.mounted_volume, record)
        try:
            now = await fly.update_machine(
                self.app, copier.id, config, current_version=copier.instance_id, nonce=nonce
            )
        except FlyUnavailableError:
            found = await fly.get_machine(self.app, copier.id)
            if found is None or found.instance_id == copier.instance_id:
                raise
            now = found
        if now.state not in start_stop.RUNNING:
            await start_stop.start(fly, self.app, copier.id, nonce, copier.config)
        return now

    def _proof_of(self, machine: Machine) -> Proof:
        """Return how the server is proved: the old machine on PostgreSQL, the new one on its volume."""
        return replace(self.snapshots.proof, database=named_database(machine.config or {}))
