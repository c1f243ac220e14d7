"""Restore a snapshot: create a new volume and machine, prove them, then remove the old machine.

Only one of the two machines serves at any time. A restore can be killed between any two calls, so
it writes a journal on the old machine before its first change. The next run reads how far it came
(plan/restore.py) and continues or undoes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from roost.apply import start_stop
from roost.apply.create_once import Creations
from roost.apply.restore_replacement import Replacement, wait_until_filled
from roost.apply.restore_undo import Undo
from roost.apply.snapshots import Snapshots
from roost.apply.verdict import GateResult, Proof
from roost.apply.work import LEASE_TTL_S, Work
from roost.errors import (
    ChangedMeanwhileError,
    FlyNotFoundError,
    FlyRejectedError,
    RoostError,
    UnappliableError,
    UsageError,
)
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.backups import Backup, retained_entry, retained_volumes
from roost.plan.database_move import is_copier
from roost.plan.desired import VERSION_KEY, Desired
from roost.plan.live import Live, read_live
from roost.plan.ownership import is_ours
from roost.plan.releases import Verdict, releases_on
from roost.plan.restore import (
    Journal,
    Restoring,
    check_version,
    restoring,
)
from roost.plan.steps import Plan
from roost.prefect.probe import CheckResult

DOWN = frozenset({"stopped", "created", "failed", "launch_failed"})
REFUSED = (FlyNotFoundError, FlyRejectedError)
"""Errors of a request for a volume that stay the same on a retry, such as a mistyped snapshot."""


@dataclass(frozen=True)
class Restorer:
    """Restores one environment.

    Args:
        work: what to change things with.
        snapshots: takes the snapshot before the restore; its proof runs the gate.
        desired: what the environment file asks for.
        git: the commit it comes from, empty when unknown.
        now: returns the time in RFC 3339 form.
    """

    work: Work
    snapshots: Snapshots
    desired: Desired
    git: str
    now: Callable[[], str]

    @property
    def app(self) -> str:
        """The app that is changed."""
        return self.desired.app

    @property
    def _undo(self) -> Undo:
        return Undo(self.work, self.desired, self._run_gate)

    @property
    def _replacement(self) -> Replacement:
        return Replacement(self.work, self.desired, self.git)

    async def restore(self, backup: Backup) -> tuple[CheckResult, ...]:
        """Restore a snapshot, or continue a restore of it that was interrupted.

        Raises:
            GateFailedError: the restored server failed its gate, and the old one serves again.
            NotRolledBackError: both the restored server and the old one failed the gate.
            UnappliableError: the snapshot cannot be restored; nothing was changed.
            OtherDatabaseError: the server's data is not on its volume; nothing was changed.
            RoostError: the restore stopped on the way; running it again continues it.
        """
        state, live = await self._look()
        if state is None:
            old = self._only_machine(live)
            await self._check_source(old, backup)
            state = await self._begin(backup.snapshot, old, live)
        elif state.journal.snapshot != backup.snapshot:
            raise UnappliableError(
                f"Another change was interrupted: {state.journal.what}.",
                where=self.desired.environment,
                advice=f"Finish it first: {Command('apply', self.desired.environment)}",
            )
        return await self._continue(state, backup)

    async def settle(self) -> None:
        """Finish a restore that was interrupted, or undo it where it has no new machine yet.

        Raises:
            GateFailedError: the restored server failed its gate, and the old one serves again.
            NotRolledBackError: both the restored server and the old one failed the gate.
        """
        state, _ = await self._look()
        if state is None:
            return
        if state.new is not None:
            await self._continue(state, None)
            return
        why = state.journal.why or "It was interrupted before its machine was created."
        result = await self._undo.undo(state, why, fresh=not state.journal.why)
        if not result.good:
            raise await self._undo.not_undone(state.journal, why, result.why)
        if state.journal.why:
            raise self._undo.undone(state.journal, why)
        self.work.notice(f"{state.journal.what}, which was interrupted, is undone")

    async def confirm(self, volume: str, machine: Machine) -> None:
        """Remove a volume that a restore retained.

        Raises:
            UsageError: no restore retained that volume, or the server uses it.
        """
        kept = retained_volumes([machine])
        if volume not in kept or volume == machine.mounted_volume:
            names = f"Retained volumes: {', '.join(kept)}." if kept else "No restore retained one."
            raise UsageError(f"{volume} is not a volume that a restore retained.", advice=names)
        self.work.notice(f"remove the volume {volume}")
        await self.work.fly.delete_volume(self.app, volume)
        left = retained_entry(name for name in kept if name != volume)
        await self.work.fly.patch_metadata(self.app, machine.id, left)

    async def make_first_volume(self, backup: Backup, plan: Plan) -> str:
        """Create the volume of an environment that has none, and return its id.

        The apply that follows creates a machine for it.

        Args:
            backup: the snapshot that fills it.
            plan: the plan for the empty app.

        Raises:
            ChangedMeanwhileError: somebody else created one.
        """
        self.work.notice(f"create a volume from the snapshot {backup.snapshot}")
        step = self._replacement.volume_step(backup.snapshot, backup)
        volume = await Creations(self.work.fly, plan, LEASE_TTL_S).create_volume(step)
        await wait_until_filled(self.work.fly, self.app, volume)
        return volume

    async def _look(self) -> tuple[Restoring | None, Live]:
        """Take the lease of the machine in use, then read the state that nobody else changes now."""
        # The first read only finds which machine to lease; another restore may end meanwhile.
        live = await read_live(self.work.fly, self.app)
        state = restoring(self.desired, live)
        await self.work.leases.hold((state.old if state else self._only_machine(live)).id)
        live = await read_live(self.work.fly, self.app)
        again = restoring(self.desired, live)
        if (again and again.old.id) != (state and state.old.id):
            raise ChangedMeanwhileError(
                "Somebody else began or finished a restore at the same time.",
                where=self.desired.environment,
                advice=f"See `{Command('status', self.desired.environment)}`, then run the same command again.",
            )
        return again, live

    def _only_machine(self, live: Live) -> Machine:
        ours = [machine for machine in live.machines if is_ours(machine, self.desired)]
        if len(ours) != 1 or ours[0].config is None or not ours[0].mounted_volume:
            raise UnappliableError(
                f"{self.app} does not have exactly one machine with a volume whose host answers.",
                where=self.desired.environment,
                advice=f"See `{Command('plan', self.desired.environment)}`.",
            )
        return ours[0]

    async def _check_source(self, old: Machine, backup: Backup) -> None:
        """Check that the server's data is on its volume, and that its Prefect reads the snapshot."""
        await self.snapshots.check_database(old)
        if message := check_version(backup, old, self.desired):
            self.work.notice(message)

    async def _begin(self, snapshot: str, old: Machine, live: Live) -> Restoring:
        """Write the journal: the first change, so that a later run finds what was begun."""
        known = releases_on([old])
        journal = Journal(
            snapshot=snapshot,
            number=known[-1].number + 1 if known else 1,
            at=self.now(),
            before=tuple(volume.id for volume in live.volumes),
        )
        await self.work.fly.patch_metadata(self.app, old.id, journal.entry())
        return Restoring(old, journal)

    async def _take_safety_snapshot(self, state: Restoring) -> Restoring:
        """Take a snapshot of the current data, unless the journal already names one."""
        if state.journal.safety:
            return state
        machines = await self.work.fly.list_machines(self.app)
        taken = await self.snapshots.take(state.old.mounted_volume, machines)
        journal = replace(state.journal, safety=taken.snapshot)
        await self.work.fly.patch_metadata(self.app, state.old.id, journal.entry())
        return replace(state, journal=journal)

    async def _continue(self, state: Restoring, backup: Backup | None) -> tuple[CheckResult, ...]:
        if state.journal.why and not self._must_go_on(state):
            unused = state.new is not None and _is_fresh(state)
            await self._undo.undo_and_raise(state, state.journal.why, fresh=unused)
        results: tuple[CheckResult, ...] = ()
        if not state.proved:
            state, result = await self._proved(state, backup)
            # From here on clients may have written to the new volume, so a failure undoes nothing.
            await self._write_good(state, backup)
            results = result.results
        kept = "; its volume is kept" if state.old.mounted_volume else ""
        self.work.notice(f"remove the old machine {state.old.id}{kept}")
        nonce = await self.work.leases.hold(state.old.id)
        await self.work.fly.destroy_machine(self.app, state.old.id, nonce)
        return results

    async def _proved(
        self, state: Restoring, backup: Backup | None
    ) -> tuple[Restoring, GateResult]:
        """Move the server to the new machine and prove it; undo that, and raise, if it fails."""
        fresh, must_go_on = _is_fresh(state), self._must_go_on(state)
        asked = False
        try:
            state = await self._move(state, backup)
            asked = True
            result = await self._run_gate_of_new(state)
        except RoostError as error:
            state = (await self._look())[0] or state
            if isinstance(error, REFUSED) and _untouched(state):
                raise await self._undo.cancel(state, error) from error
            if must_go_on or asked:
                await self._refuse_to_undo(state, error.cause)
            await self._undo.undo_and_raise(state, error.cause, fresh=fresh and _is_fresh(state))
        if not result.good:
            if must_go_on or result.opened:
                await self._refuse_to_undo(state, result.why)
            await self._undo.undo_and_raise(state, result.why, fresh=fresh and not result.opened)
        return state, result

    def _must_go_on(self, _state: Restoring) -> bool:
        """Return whether an undo could lose what clients wrote; a restore keeps the volume with it."""
        return False

    async def _refuse_to_undo(self, state: Restoring, why: str) -> None:
        """Raise if what clients wrote to the new machine may not be left; a restore may."""

    async def _move(self, state: Restoring, backup: Backup | None) -> Restoring:
        """Create the new machine on the new volume, with the old one stopped."""
        # The volume comes first: a mistyped snapshot fails here, before anything else changed.
        volume = state.volume or await self._replacement.make_volume(state, backup)
        state = await self._take_safety_snapshot(state)
        is_empty = state.journal.is_move
        await wait_until_filled(self.work.fly, self.app, volume.id, is_empty=is_empty)
        state = replace(state, volume=volume, old=await self._stop_old(state.old))
        new = state.new or await self._replacement.make_machine(state, volume, backup)
        new = await self._filled(state, new)
        return replace(state, new=new)

    async def _run_gate_of_new(self, state: Restoring) -> GateResult:
        assert state.new is not None  # noqa: S101 - it was just created or found
        return await self._run_gate(state.new)

    async def _filled(self, _state: Restoring, new: Machine) -> Machine:
        """Return the new machine once its volume has the data, which Fly has filled already."""
        return new

    def _proof_of(self, _machine: Machine) -> Proof:
        """Return how the server is proved on this machine."""
        return self.snapshots.proof

    async def _write_good(self, state: Restoring, backup: Backup | None) -> None:
        """Record the new machine's release as good; a later run can then only finish the restore."""
        assert state.new is not None  # noqa: S101 - it was proved
        sent = (r for r in releases_on([state.new]) if r.number == state.journal.number)
        record = next(sent, None) or self._replacement.record(state, backup)
        good = record.with_verdict(Verdict.GOOD, record.why)
        await self.work.fly.patch_metadata(self.app, state.new.id, {good.key: good.encoded()})

    async def _stop_old(self, old: Machine) -> Machine:
        """Cordon and stop the old machine; return its latest state."""
        nonce = await self.work.leases.hold(old.id)
        if not old.cordoned:
            await self.work.fly.cordon_machine(self.app, old.id, nonce)
        # It may have slept or woken since the last read. Cordoned, no request can wake it any more.
        now = await self.work.fly.get_machine(self.app, old.id) or old
        if now.state not in DOWN:
            self.work.notice(f"stop the old machine {old.id}")
            await start_stop.stop_flushed(self.work.fly, self.app, now, nonce)
        return now

    async def _run_gate(self, machine: Machine) -> GateResult:
        """Run the gate; restart the machine once if it fails, as an apply does."""
        version = machine.metadata.get(VERSION_KEY, "")
        proof, machines = self._proof_of(machine), {machine.id: machine.instance_id}
        result = await proof.run_gate(machines, version, (machine,))
        if result.good or (result.died and not result.opened):
            return result
        self.work.notice("restart once")
        nonce = await self.work.leases.hold(machine.id)
        before = await self.work.fly.list_machines(self.app)
        await self.work.fly.restart_machine(self.app, machine.id, nonce)
        return (await proof.run_gate(machines, version, before)).after(result)


def _is_fresh(state: Restoring) -> bool:
    """Return whether only Roost can have used the new volume: no server was on it yet."""
    return state.new is None or is_copier(state.new.config)


def _untouched(state: Restoring) -> bool:
    """Return whether a restore has changed nothing but its journal."""
    return state.volume is None and state.new is None and not state.journal.safety
