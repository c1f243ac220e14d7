"""Put the data of a snapshot back: on a new volume, with a new machine, proved before the old one goes.

Only one of the two machines ever serves. The order of the changes is such that whoever comes after
one that was killed can tell how far it came, and goes on or back from there (plan/restoring.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Never

import anyio

from roost.apply import start_stop
from roost.apply.create_once import LOST, Creations
from roost.apply.release import standing
from roost.apply.snapshots import Snapshots
from roost.apply.verdict import Judgement
from roost.apply.work import LEASE_TTL_S, Work
from roost.errors import (
    ChangedMeanwhileError,
    FlyConflictError,
    FlyNotFoundError,
    FlyRejectedError,
    GateFailedError,
    NotRolledBackError,
    RoostError,
    SnapshotError,
    UnappliableError,
    UsageError,
)
from roost.fly.models import Machine, Volume
from roost.plan.backups import Backup, Note, with_note
from roost.plan.desired import VERSION_KEY, Desired
from roost.plan.live import Live, read_live
from roost.plan.ownership import is_ours, slot_of
from roost.plan.releases import Release, Verdict, current, draft, releases_on
from roost.plan.restore import (
    JOURNAL_KEY,
    Journal,
    Restoring,
    check_version,
    goes_back,
    moved_config,
    restore_release,
    restoring,
)
from roost.plan.retained_volumes import kept_entry, kept_volumes
from roost.plan.steps import CreateVolume, Plan
from roost.plan.volumes import create_volume
from roost.prefect.probe import CheckResult

READY_LIMIT_S = 600
POLL_S = 1.0
READY = "created"
DOWN = frozenset({"stopped", "created", "failed", "launch_failed"})
UP = frozenset({"started", "starting"})


REFUSED = (FlyNotFoundError, FlyRejectedError)
"""Answers to the request for a volume that say that there never will be one."""


@dataclass(frozen=True)
class Restorer:
    """Restores one environment, and answers for the result.

    Args:
        work: what to change things with.
        snapshots: takes the one before; its proof is the gate.
        desired: what the environment file asks for.
        git: the commit it comes from, empty when unknown.
        now: the time, as records write it.
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

    async def restore(self, backup: Backup) -> tuple[CheckResult, ...]:
        """Restore a snapshot, or go on with a restore of it that was cut short.

        Raises:
            GateFailedError: the restored server was no good, and the old one is back.
            NotRolledBackError: so it was, and the old one is no good either.
            UnappliableError: it cannot be restored; nothing was changed.
            OtherDatabaseError: the server's data is not on its volume; nothing was changed.
            RoostError: it was not carried out to its end; running it again goes on.
        """
        state, live = await self._look()
        if state is None:
            old = self._only_machine(live)
            await self.snapshots.check_database(old)
            if told := check_version(backup, old, self.desired):
                self.work.notice(told)
            state = await self._begin(backup, old, live)
        elif state.journal.snapshot != backup.snapshot:
            raise UnappliableError(
                f"A restore of {state.journal.snapshot} was cut short.",
                where=self.desired.environment,
                advice=f"End it first: roost apply {self.desired.environment}",
            )
        return await self._go_on(state, backup)

    async def settle(self) -> None:
        """End a restore that was cut short: forward where a new machine is there, back where none is.

        Raises:
            GateFailedError: the restored server was no good, and the old one is back.
            NotRolledBackError: so it was, and the old one is no good either.
        """
        state, _ = await self._look()
        if state is None:
            return
        if state.new is not None:
            await self._go_on(state, None)
            return
        why = state.journal.why or "It was cut short before its machine was there."
        judged = await self._put_back(state, why, fresh=not state.journal.why)
        if not judged.good:
            raise await self._stays(why, judged.why)
        if state.journal.why:
            raise self._went_back(state.journal, why)
        self.work.notice(f"the restore of {state.journal.snapshot} is undone")

    async def confirm(self, volume: str, machine: Machine) -> None:
        """Remove a volume that a restore left behind.

        Raises:
            UsageError: it is none of those.
        """
        kept = kept_volumes([machine])
        if volume not in kept or volume == machine.mounted_volume:
            names = f"Kept are: {', '.join(kept)}." if kept else "No restore left one."
            raise UsageError(f"{volume} is no volume that a restore left behind.", advice=names)
        self.work.notice(f"remove the volume {volume}")
        await self.work.fly.delete_volume(self.app, volume)
        left = kept_entry(name for name in kept if name != volume)
        await self.work.fly.patch_metadata(self.app, machine.id, left)

    async def make_first_volume(self, backup: Backup, plan: Plan) -> str:
        """Create the volume where nothing is, and return its id; an apply makes a machine for it.

        Args:
            backup: what it is filled from.
            plan: made just now, without a volume in it.

        Raises:
            ChangedMeanwhileError: somebody else made one.
        """
        self.work.notice(f"create a volume from the snapshot {backup.snapshot}")
        step = self._volume_step(backup.snapshot, backup)
        volume = await Creations(self.work.fly, plan, LEASE_TTL_S).create_volume(step)
        await self._wait_until_ready(volume)
        return volume

    # How far it came

    async def _look(self) -> tuple[Restoring | None, Live]:
        """Read what there is, as nobody else changes it: with the lease of the machine in use."""
        live = await read_live(self.work.fly, self.app)
        state = restoring(self.desired, live)
        await self.work.leases.hold((state.old if state else self._only_machine(live)).id)
        live = await read_live(self.work.fly, self.app)
        again = restoring(self.desired, live)
        if (again and again.old.id) != (state and state.old.id):
            raise ChangedMeanwhileError(
                "Somebody else restored it, or began to, just now.",
                where=self.desired.environment,
                advice=f"Look at `roost status {self.desired.environment}`, then run it again.",
            )
        return again, live

    def _only_machine(self, live: Live) -> Machine:
        ours = [machine for machine in live.machines if is_ours(machine, self.desired)]
        if len(ours) != 1 or ours[0].config is None or not ours[0].mounted_volume:
            raise UnappliableError(
                f"{self.app} does not have exactly one machine that answers, with one volume.",
                where=self.desired.environment,
                advice=f"Look at `roost plan {self.desired.environment}`.",
            )
        return ours[0]

    # Forward

    async def _begin(self, backup: Backup, old: Machine, live: Live) -> Restoring:
        """Write down what is about to happen: the first change, before there is a newer snapshot."""
        known = releases_on([old])
        journal = Journal(
            snapshot=backup.snapshot,
            number=known[-1].number + 1 if known else 1,
            at=self.now(),
            before=tuple(volume.id for volume in live.volumes),
        )
        await self.work.fly.patch_metadata(self.app, old.id, journal.entry())
        return Restoring(old, journal)

    async def _make_safe(self, state: Restoring) -> Restoring:
        """Copy what is there before it is replaced, unless that was done."""
        if state.journal.safety:
            return state
        machines = await self.work.fly.list_machines(self.app)
        taken = await self.snapshots.take(state.old.mounted_volume, machines)
        journal = replace(state.journal, safety=taken.snapshot)
        await self.work.fly.patch_metadata(self.app, state.old.id, journal.entry())
        return replace(state, journal=journal)

    async def _go_on(self, state: Restoring, backup: Backup | None) -> tuple[CheckResult, ...]:
        if state.journal.why:
            await self._go_back(state, state.journal.why, fresh=False)
        results: tuple[CheckResult, ...] = ()
        if not state.proved:
            fresh = state.new is None
            try:
                state, judged = await self._move(state, backup)
            except RoostError as error:
                state = (await self._look())[0] or state
                if isinstance(error, REFUSED) and _untouched(state):
                    raise await self._forget(state, error) from error
                await self._go_back(state, error.cause, fresh=fresh and state.new is None)
            if not judged.good:
                await self._go_back(state, judged.why, fresh=fresh and not judged.opened)
            # Whoever was let in may have written: what goes wrong from here on undoes nothing.
            await self._write_good(state, backup)
            results = judged.results
        self.work.notice(f"remove the old machine {state.old.id}; its volume is kept")
        nonce = await self.work.leases.hold(state.old.id)
        await self.work.fly.destroy_machine(self.app, state.old.id, nonce)
        return results

    async def _move(self, state: Restoring, backup: Backup | None) -> tuple[Restoring, Judgement]:
        """Bring the new machine up on the new volume, while the old one rests, and run the gate."""
        # First what a mistyped snapshot fails of: nothing else is done by then.
        volume = state.volume or await self._make_volume(state, backup)
        state = await self._make_safe(state)
        await self._wait_until_ready(volume.id)
        state = replace(state, volume=volume, old=await self._rest(state.old))
        new = state.new or await self._make_machine(state, volume, backup)
        return replace(state, new=new), await self._judge(new)

    async def _write_good(self, state: Restoring, backup: Backup | None) -> None:
        """Write that the new machine is proved: from here on there is no way but forward."""
        assert state.new is not None  # noqa: S101 - it was proved
        sent = (r for r in releases_on([state.new]) if r.number == state.journal.number)
        record = next(sent, None) or self._record(state, backup)
        good = record.judged(Verdict.GOOD, record.why)
        await self.work.fly.patch_metadata(self.app, state.new.id, {good.key: good.encoded()})

    async def _make_volume(self, state: Restoring, backup: Backup | None) -> Volume:
        """Create the volume from the snapshot, or take the one that a lost answer left."""
        self.work.notice(f"create a volume from the snapshot {state.journal.snapshot}")
        step = self._volume_step(state.journal.snapshot, backup)
        try:
            return await self.work.fly.create_volume(self.app, step.fields)
        except LOST:
            live = await read_live(self.work.fly, self.app)
            again = restoring(self.desired, live)
            if again is None or again.volume is None:
                raise
            return again.volume

    def _volume_step(self, snapshot: str, backup: Backup | None) -> CreateVolume:
        """Return what the file asks for, not smaller than what was copied."""
        assert self.desired.volume is not None  # noqa: S101 - checked by whoever restores
        step = create_volume(self.desired, self.desired.volume)
        size = max(step.fields["size_gb"], backup.volume_gb if backup else 0)
        return replace(step, fields={**step.fields, "snapshot_id": snapshot, "size_gb": size})

    async def _wait_until_ready(self, volume: str) -> None:
        with anyio.move_on_after(READY_LIMIT_S):
            while True:
                found = await self.work.fly.list_volumes(self.app)
                if any(v.id == volume and v.state == READY for v in found):
                    return
                await anyio.sleep(POLL_S)
        raise SnapshotError(
            f"The volume {volume} was not filled from its snapshot within {READY_LIMIT_S} s.",
            where=self.app,
        )

    async def _rest(self, old: Machine) -> Machine:
        """Have the old machine serve nobody, and nobody wake it; return it as it was last seen."""
        nonce = await self.work.leases.hold(old.id)
        if not old.cordoned:
            await self.work.fly.cordon_machine(self.app, old.id, nonce)
        # It may have slept or woken since it was looked at; from now on it cannot be woken.
        now = await self.work.fly.get_machine(self.app, old.id) or old
        if now.state not in DOWN:
            self.work.notice(f"stop the old machine {old.id}")
            await start_stop.stop_flushed(self.work.fly, self.app, now, nonce)
        return now

    async def _make_machine(
        self, state: Restoring, volume: Volume, backup: Backup | None
    ) -> Machine:
        """Create the machine, or take the one that a lost answer left."""
        name = f"{slot_of(state.old)}-r{state.journal.number}"
        self.work.notice(f"create the machine {name}")
        config = moved_config(state, volume.id, self._record(state, backup))
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

    def _record(self, state: Restoring, backup: Backup | None) -> Release:
        known = releases_on([state.old])
        asked = draft(self.desired, Live(), known)
        assert asked is not None  # noqa: S101 - an environment with a volume has a machine
        base = current(known) or asked
        if backup and goes_back(backup, state.old, self.desired):
            base = replace(asked, secrets=base.secrets)
        return restore_release(base, state.journal, self.git)

    async def _judge(self, machine: Machine) -> Judgement:
        """Run the gate; return a bad start the one more chance that an apply gives it, too."""
        version = machine.metadata.get(VERSION_KEY, "")
        proof, machines = self.snapshots.proof, {machine.id: machine.instance_id}
        judged = await proof.judge(machines, version, (machine,))
        if judged.good or (judged.died and not judged.opened):
            return judged
        self.work.notice("restart once")
        nonce = await self.work.leases.hold(machine.id)
        before = await self.work.fly.list_machines(self.app)
        await self.work.fly.restart_machine(self.app, machine.id, nonce)
        return (await proof.judge(machines, version, before)).after(judged)

    # Back

    async def _forget(self, state: Restoring, error: RoostError) -> UnappliableError:
        """Take back the journal of a restore for which Fly refused to make even the volume."""
        await self.work.fly.delete_metadata(self.app, state.old.id, JOURNAL_KEY)
        environment = self.desired.environment
        return UnappliableError(
            f"No volume can be made from the snapshot {state.journal.snapshot}: {error.cause}",
            where=environment,
            advice=f"Nothing was changed. See what there is: `roost backups {environment}`.",
        )

    async def _go_back(self, state: Restoring, why: str, *, fresh: bool) -> Never:
        """Put the old machine back and say so."""
        try:
            judged = await self._put_back(state, why, fresh=fresh)
        except RoostError as error:
            raise await self._stays(why, str(error)) from error
        if not judged.good:
            raise await self._stays(why, judged.why)
        raise self._went_back(state.journal, why)

    async def _put_back(self, state: Restoring, why: str, *, fresh: bool) -> Judgement:
        """Remove what was made and start the old machine.

        Args:
            state: how far it came.
            why: what it failed of; whoever comes later goes on with undoing.
            fresh: nobody but us ever saw the new machine, so its volume is only a copy. One that
                was up for longer may have opened by itself: its volume is kept.
        """
        fly, old = self.work.fly, state.old
        self.work.notice(f"put the old machine {old.id} back: {why}")
        if not state.journal.why:
            failed = replace(state.journal, why=why[:400])
            await fly.patch_metadata(self.app, old.id, failed.entry())
        if state.new is not None:
            nonce = await self.work.leases.take(state.new.id)
            await fly.destroy_machine(self.app, state.new.id, nonce)
        nonce = await self.work.leases.hold(old.id)
        await fly.uncordon_machine(self.app, old.id, nonce)
        now = await fly.get_machine(self.app, old.id)
        if now is None or now.state not in UP:
            await start_stop.start(fly, self.app, old.id, nonce)
        await self._discard(state, fresh=fresh)
        judged = await self._judge(old)
        if judged.good:
            await self._close(old, state.journal)
        return judged

    async def _close(self, old: Machine, journal: Journal) -> None:
        """Forget the restore, but not that its safety copy is of what it was to take the place of."""
        if journal.safety:
            now = await self.work.fly.get_machine(self.app, old.id) or old
            note = Note(f"before a restore of {journal.snapshot} that failed", before_restore=True)
            noted = with_note(now, journal.safety, note)
            await self.work.fly.patch_metadata(self.app, old.id, noted)
        await self.work.fly.delete_metadata(self.app, old.id, JOURNAL_KEY)

    async def _discard(self, state: Restoring, *, fresh: bool) -> None:
        if state.volume is None:
            return
        if fresh:
            try:
                await self.work.fly.delete_volume(self.app, state.volume.id)
            except FlyConflictError:
                pass  # still attached to the machine that goes
            else:
                return
        kept = kept_entry([*kept_volumes([state.old]), state.volume.id])
        await self.work.fly.patch_metadata(self.app, state.old.id, kept)

    def _went_back(self, journal: Journal, why: str) -> GateFailedError:
        return GateFailedError(
            f"The restore failed: {why} The old machine is back on its own data, and proved.",
            where=self.desired.environment,
            advice=(
                f"To try again: `roost restore {self.desired.environment} --snapshot "
                f"{journal.snapshot}`, or with another one of `roost backups "
                f"{self.desired.environment}`."
            ),
        )

    async def _stays(self, why: str, reason: str) -> NotRolledBackError:
        live = await read_live(self.work.fly, self.app)
        return NotRolledBackError(
            f"The restore failed: {why} The old machine was not put back: {reason}\n"
            f"{standing(self.desired, live)}\n",
            where=self.desired.environment,
            advice=f"No data was removed. To try again: roost apply {self.desired.environment}",
        )


def _untouched(state: Restoring) -> bool:
    """Return whether nothing but the journal came of a restore."""
    return state.volume is None and state.new is None and not state.journal.safety
