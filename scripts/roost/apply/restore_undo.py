"""Undo a restore that failed: the old machine serves its own data again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Never

from roost.apply import start_stop
from roost.apply.live_description import describe_live
from roost.apply.verdict import GateResult
from roost.apply.work import Work
from roost.errors import (
    DatabaseMoveError,
    FlyConflictError,
    GateFailedError,
    NotRolledBackError,
    RoostError,
    UnappliableError,
)
from roost.errors.command import Command, bare
from roost.fly.models import Machine
from roost.plan.backups import Note, retained_entry, retained_volumes, with_note
from roost.plan.desired import Desired
from roost.plan.live import read_live
from roost.plan.restore import JOURNAL_KEY, Journal, Restoring

UP = frozenset({"started", "starting"})
LONGEST_REASON = 400
"""Characters of a failure that the journal keeps; it is one entry of a machine's metadata."""


@dataclass(frozen=True)
class Undo:
    """Undoes one environment's restore.

    Args:
        work: what to change things with.
        desired: what the environment file asks for.
        run_gate: runs the gate for a machine, and restarts the machine once if it fails.
    """

    work: Work
    desired: Desired
    run_gate: Callable[[Machine], Awaitable[GateResult]]

    @property
    def app(self) -> str:
        """The app that is changed."""
        return self.desired.app

    async def undo_and_raise(self, state: Restoring, why: str, *, fresh: bool) -> Never:
        """Undo the restore, then raise the error for it.

        Raises:
            GateFailedError: the old machine serves again.
            NotRolledBackError: it does not.
        """
        try:
            result = await self.undo(state, why, fresh=fresh)
        except RoostError as error:
            raise await self.not_undone(state.journal, why, error.message) from error
        if not result.good:
            raise await self.not_undone(state.journal, why, result.why)
        raise self.undone(state.journal, why)

    async def undo(self, state: Restoring, why: str, *, fresh: bool) -> GateResult:
        """Remove what the restore created, start the old machine and run its gate.

        Args:
            state: how far the restore came.
            why: why it failed. It is written to the journal first, so that an apply that comes
                after a killed one continues to undo.
            fresh: whether only Roost used the new machine. Its volume is then a mere copy and is
                deleted; otherwise clients may have written to it, and it is retained.
        """
        fly, old = self.work.fly, state.old
        self.work.notice(
            f"{state.journal.what} is undone, start the old machine {old.id} again: {why}"
        )
        await self._note(state, why)
        # The new machine goes first: two machines that serve would split the writes.
        if state.new is not None:
            nonce = await self.work.leases.take(state.new.id)
            await fly.destroy_machine(self.app, state.new.id, nonce)
        nonce = await self.work.leases.hold(old.id)
        await fly.uncordon_machine(self.app, old.id, nonce)
        now = await fly.get_machine(self.app, old.id)
        if now is None or now.state not in UP:
            await start_stop.start(fly, self.app, old.id, nonce)
        await self._discard_volume(state, fresh=fresh)
        result = await self.run_gate(old)
        if result.good:
            await self._close_journal(old, state.journal)
        return result

    async def _note(self, state: Restoring, why: str) -> None:
        """Write why it failed to the journal, unless it has a reason."""
        if not state.journal.why:
            failed = replace(state.journal, why=bare(why)[:LONGEST_REASON])
            await self.work.fly.patch_metadata(self.app, state.old.id, failed.entry())

    async def left(self, state: Restoring, why: str) -> NotRolledBackError:
        """Return the error for a move that failed after clients may have been admitted.

        The journal gets the reason, so that an undo keeps the volume once somebody removed the machine.
        """
        await self._note(state, why)
        live = await read_live(self.work.fly, self.app)
        environment = self.desired.environment
        new = state.new.id if state.new else "none"
        volume = state.volume.id if state.volume else "none"
        return NotRolledBackError(
            f"The move failed: {why} Nothing was undone: the new server may have admitted clients, "
            f"and only its volume {volume} holds what they wrote.\n{describe_live(self.desired, live)}\n",
            where=environment,
            advice=(
                f"Correct that, and try again: {state.journal.again(environment)}. To go back without what "
                f"they wrote: `fly machine destroy {new} --force -a {self.app}`, then "
                f"`{Command('apply', environment)}`; the volume is kept."
            ),
        )

    async def _close_journal(self, old: Machine, journal: Journal) -> None:
        """Delete the journal; note first which data its safety snapshot holds."""
        if journal.safety:
            now = await self.work.fly.get_machine(self.app, old.id) or old
            note = Note(f"before a restore of {journal.snapshot} that failed", before_restore=True)
            noted = with_note(now, journal.safety, note)
            await self.work.fly.patch_metadata(self.app, old.id, noted)
        await self.work.fly.delete_metadata(self.app, old.id, JOURNAL_KEY)

    async def _discard_volume(self, state: Restoring, *, fresh: bool) -> None:
        """Delete the new volume, or record it as retained where it may hold new data."""
        if state.volume is None:
            return
        if fresh:
            try:
                await self.work.fly.delete_volume(self.app, state.volume.id)
            except FlyConflictError:
                pass  # Fly still shows it attached to the machine that was just destroyed
            else:
                return
        kept = retained_entry([*retained_volumes([state.old]), state.volume.id])
        await self.work.fly.patch_metadata(self.app, state.old.id, kept)

    async def cancel(self, state: Restoring, error: RoostError) -> UnappliableError:
        """Delete the journal of a restore whose volume Fly refused to create; return the error."""
        await self.work.fly.delete_metadata(self.app, state.old.id, JOURNAL_KEY)
        environment = self.desired.environment
        if state.journal.is_move:
            return UnappliableError(
                f"No volume can be created: {error.cause}",
                where=environment,
                advice="Nothing was changed.",
            )
        return UnappliableError(
            f"No volume can be created from the snapshot {state.journal.snapshot}: {error.cause}",
            where=environment,
            advice=f"Nothing was changed. List the backups: `{Command('backups', environment)}`.",
        )

    def undone(self, journal: Journal, why: str) -> RoostError:
        """Return the error for a restore or a move that failed and was undone."""
        environment = self.desired.environment
        if journal.is_move:
            return DatabaseMoveError(
                f"The data was not moved to a volume: {why.rstrip('.')}. The server serves its PostgreSQL again and passed the gate.",
                where=environment,
                advice=f"Correct that, and try again: {journal.again(environment)}",
            )
        return GateFailedError(
            f"The restore failed: {why} The old machine serves its own data again and passed the gate.",
            where=environment,
            advice=(
                f"To try again: `{journal.again(environment)}`, "
                f"or with another one of `{Command('backups', environment)}`."
            ),
        )

    async def not_undone(self, journal: Journal, why: str, reason: str) -> NotRolledBackError:
        """Return the error for a restore or a move that failed and could not be undone."""
        live = await read_live(self.work.fly, self.app)
        return NotRolledBackError(
            f"The {'move' if journal.is_move else 'restore'} failed: {why} The old machine does not serve again: {reason}\n"
            f"{describe_live(self.desired, live)}\n",
            where=self.desired.environment,
            advice=f"No data was removed. To try again: {Command('apply', self.desired.environment)}",
        )
