"""Apply a plan and prove the release; if its gate fails, roll back to the last healthy release.

The record of a release is sent with the change itself, and its verdict is written after the gate. An
apply that is killed in between leaves a record without a verdict, and the next apply continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Never

from roost.apply.carried_out import CarriedOut, Records
from roost.apply.executor import carry_out
from roost.apply.live_description import describe_live
from roost.apply.objects_step import ObjectsKeeper, objects_step, only_objects
from roost.apply.replica_verdict import ReplicatedProof
from roost.apply.rollout import Rollout, half_changed
from roost.apply.snapshots import Snapshots
from roost.apply.trial import remove_trials
from roost.apply.verdict import GateResult, Proof
from roost.apply.work import Work
from roost.errors import GateFailedError, NotRolledBackError, RoostError, UnappliableError
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.desired import VERSION_KEY, Desired, named_database
from roost.plan.diff import plan_from
from roost.plan.image import is_our_image
from roost.plan.likely_causes import changed_by
from roost.plan.live import Live, read_live
from roost.plan.machines import LAUNCHED
from roost.plan.ownership import find_volume, our_machines, slot_number
from roost.plan.releases import (
    Release,
    Verdict,
    beyond,
    current,
    draft,
    is_older,
    on_left_database,
    record_patch,
    releases_on,
    rollback_target,
)
from roost.plan.replicas import is_replicated
from roost.plan.resume import Recovery, recover, roll_back_to
from roost.plan.secrets import rotates_asleep
from roost.plan.steps import CreateMachine, DestroyMachine, Plan, ProveRelease, Risk, UpdateMachine
from roost.prefect.probe import CheckResult
from roost.prefect.versions import Version, parse_version

CHANGED = (CreateMachine, UpdateMachine, DestroyMachine)
RELEASED = (*CHANGED, ProveRelease)
"""Steps after which a release has to be proved."""

UNSEEN = GateResult(())
"""The result for a release that failed in an earlier apply: its checks are not known here."""

OPENS_AFTER_S = 900
"""Seconds until a server admits clients without a proof after a migration.

As in deploy/roost_server/maintenance_mode.py. From then on a rollback could lose data.
"""


@dataclass(frozen=True)
class Releaser:
    """Applies the plans of one environment.

    Args:
        work: what to change things with.
        proof: runs the gate.
        desired: what the environment file asks for.
        git: the commit it comes from, empty when unknown.
        now: returns the time in RFC 3339 form.
        objects: sets Prefect's objects, if the plan has a step for them.
    """

    work: Work
    proof: Proof
    desired: Desired
    git: str
    now: Callable[[], str]
    objects: ObjectsKeeper | None = None

    async def apply(
        self, plan: Plan, live: Live, recovery: Recovery | None = None
    ) -> tuple[CheckResult, ...]:
        """Carry out a plan and prove the release.

        Args:
            plan: the plan, made just before.
            live: the live state it was made from.
            recovery: the target of the plan, if that is not what the file asks for.

        Raises:
            GateFailedError: the gate failed, and the last healthy release was restored.
            NotRolledBackError: the gate failed, and nothing could be restored.
            ObjectsError: the gate passed, and some of Prefect's objects could not be set.
            RoostError: the apply stopped on the way; the steps so far stay done.
        """
        await remove_trials(self.work.fly, self.desired.app, live)
        results: tuple[CheckResult, ...] = ()
        if not only_objects(plan):
            results = await self._release(plan, live, recovery)
        step = objects_step(plan)
        if step and self.objects:
            await self.objects.carry_out(step, plan)
        return results

    async def _release(
        self, plan: Plan, live: Live, recovery: Recovery | None
    ) -> tuple[CheckResult, ...]:
        """Change the machines and prove them; roll back what fails. See `apply`."""
        if recovery is None:
            recovery = recover(self.desired, live, our_machines(self.desired, live))
        result = await self._change(plan, live, recovery)
        if result is None:
            return ()
        if not result.good:
            changed = "" if recovery.failed else changed_by(plan)
            result = replace(result, changed=changed)
            await self._roll_back(result, already=recovery.failed is not None)
        if recovery.failed:  # this run finished the rollback of an apply that was killed
            raise self._rolled_back(recovery.failed, recovery.failed.why)
        return result.results

    async def _change(self, plan: Plan, live: Live, recovery: Recovery) -> GateResult | None:
        """Carry out the steps, run the gate and write the verdict; None if no machine runs."""
        self._check_way_back(plan, recovery)
        desired = recovery.desired
        amended = _amended(plan, live, recovery)
        release = amended or await self._draft(plan, live, recovery)
        kept = _kept(desired, live)
        new = release if release and _is_new(release, plan, recovery) else None
        keeper = kept[0] if new and kept and _leaves_alone(kept[0], plan) else None
        records = Records(release, recovery.releases, keeper)
        rollout = self._rollout(desired, live)
        if rollout and not await rollout.begins(half_changed(kept, plan, recovery.current)):
            done, new = CarriedOut({}), None  # the verdict is that of the apply that was killed
        else:
            goes_on = rollout.goes_on if rollout else None
            done = await carry_out(plan, self.work, _volume_id(desired, live), records, goes_on)
        if not desired.machines or (amended and not done.woken):
            return None
        machines = _to_prove(plan, done, kept)
        result = rollout.stopped if rollout else None
        result = result or await self._run_gate(machines, desired, live.machines)
        # A restart of all machines at once would be an outage of a replicated server.
        if not rollout and not result.good and (result.opened or not result.died):
            before = await self.work.fly.list_machines(self.desired.app)
            await self._restart(done.machines or machines, before)
            result = (await self._run_gate(machines, desired, before)).after(result)
        proved = new or recovery.current
        if proved and any(isinstance(step, RELEASED) for step in plan.steps):
            await self._write_verdict(proved.number, result)
        return result

    def _check_way_back(self, plan: Plan, recovery: Recovery) -> None:
        """Refuse a rollback across an upgrade whose server already admitted clients by itself."""
        if plan.risk < Risk.MIGRATION or not recovery.desired.back:
            return
        version = recovery.desired.machines[0].config["metadata"][VERSION_KEY]
        upgrades = beyond(recovery.releases, parse_version(version) or Version(0, 0, 0))
        if upgrades and seconds_between(upgrades[0].at, self.now()) > OPENS_AFTER_S:
            environment = self.desired.environment
            raise UnappliableError(
                f"Release {upgrades[0].number} was not proved within 15 minutes, so its server "
                f"admitted clients; Prefect {version} cannot read its database any more.",
                where=environment,
                advice=(
                    "Correct the file and apply again. Or restore a backup from before the upgrade: "
                    f"`{Command('backups', environment)}`."
                ),
            )

    async def _draft(self, plan: Plan, live: Live, recovery: Recovery) -> Release | None:
        """Return the record of the release, after taking a snapshot if data is at risk."""
        release = draft(recovery.desired, live, recovery.releases)
        if release is None:
            return None
        volume = _volume_id(recovery.desired, live)
        snapshot = ""
        # A rollback needs no snapshot: the failed release took one before it began.
        if volume and plan.risk >= Risk.MIGRATION and not recovery.failed:
            snapshots = Snapshots(self.proof, self.work.notice)
            snapshot = (await snapshots.take(volume, live.machines)).snapshot
        back_to = recovery.back_to
        return replace(release, git=self.git, at=self.now(), snapshot=snapshot, back_to=back_to)

    async def _run_gate(
        self, machines: Mapping[str, str], desired: Desired, before: tuple[Machine, ...]
    ) -> GateResult:
        """Run the gate for the target of the plan, whose image can differ from the file's."""
        version = desired.machines[0].config["metadata"][VERSION_KEY]
        return await self._proof_of(desired).run_gate(machines, version, before)

    def _proof_of(self, desired: Desired) -> Proof:
        config = desired.machines[0].config
        stock, database = not is_our_image(config["image"]), named_database(config)
        proof = replace(self.proof, stock=stock, database=database)
        return ReplicatedProof.of(proof) if is_replicated(config) else proof

    def _rollout(self, desired: Desired, live: Live) -> Rollout | None:
        """Return how the machines of a replicated server are changed; None for other servers."""
        proof = self._proof_of(desired) if desired.machines else None
        if not isinstance(proof, ReplicatedProof):
            return None
        version = desired.machines[0].config["metadata"][VERSION_KEY]
        return Rollout(self.work, proof, version, live.machines)

    async def _restart(self, machines: Iterable[str], now: Iterable[Machine]) -> None:
        """Restart the machines once before a rollback, as that cures a bad start."""
        self.work.notice("restart once")
        awake = {machine.id for machine in now if machine.state in LAUNCHED}
        # A sleeping machine needs no restart, unless all of them sleep.
        for machine in [key for key in machines if key in awake] or machines:
            nonce = await self.work.leases.hold(machine)
            await self.work.fly.restart_machine(self.desired.app, machine, nonce)

    async def _ours(self) -> tuple[Live, tuple[Machine, ...]]:
        live = await read_live(self.work.fly, self.desired.app)
        return live, tuple(our_machines(self.desired, live).values())

    async def _write_verdict(self, number: int, result: GateResult) -> None:
        """Write the gate's verdict into the release record of each machine that has it."""
        _, machines = await self._ours()
        verdict = Verdict.GOOD if result.good else Verdict.FAILED
        for release in releases_on(machines):
            if release.number == number:
                holders = tuple(m for m in machines if release.key in m.metadata)
                await self._record(release.with_verdict(verdict, result.why), holders)

    async def _record(self, release: Release, machines: tuple[Machine, ...]) -> None:
        """Write a record into metadata, without a restart."""
        for machine in machines:
            values = record_patch(machine.metadata, release)
            await self.work.fly.patch_metadata(self.desired.app, machine.id, values)

    async def _roll_back(self, result: GateResult, *, already: bool) -> Never:
        """Roll back to the last healthy release and raise the error for the failed one.

        Raises:
            GateFailedError: the rollback passed the gate.
            NotRolledBackError: there is no release to roll back to, or it failed too.
        """
        live, machines = await self._ours()
        releases = releases_on(machines)
        failed, good = current(releases), rollback_target(releases)
        if already or failed is None or good is None or failed.setup == good.setup:
            raise self._not_rolled_back(result, live, _no_target_reason(failed, good))
        if result.opened and (is_older(good, failed) or on_left_database(good, failed)):
            raise self._not_rolled_back(result, live, _admitted_reason(good, failed))
        self.work.notice(f"roll back to release {good.number}: {result.why}")
        recovery = roll_back_to(good, self.desired, live, failed)
        try:
            again = await self._change(plan_from(recovery, live), live, recovery)
        except RoostError as error:
            raise self._not_rolled_back(result, live, f"the rollback failed: {error}") from error
        if again is None or not again.good:
            why = again.why if again else "it has no machine."
            raise self._not_rolled_back(
                result, live, f"release {good.number} is unhealthy now: {why}"
            )
        raise self._rolled_back(failed, result.why, result)

    def _rolled_back(
        self, failed: Release, why: str, result: GateResult = UNSEEN
    ) -> GateFailedError:
        correct = "" if failed.back_to else "Correct the file. "
        message = f"Release {failed.number} failed: {why} The last healthy release was restored and passed the gate."
        return GateFailedError(
            f"{result.changed} {message}".strip(),
            where=self.desired.environment,
            advice=(
                f"{correct}To try the same release again: "
                f"`{Command('releases', self.desired.environment, '--clear', failed.number)}`."
            ),
            checks=result.results,
        )

    def _not_rolled_back(self, result: GateResult, live: Live, reason: str) -> NotRolledBackError:
        return NotRolledBackError(
            f"{result.reason} Nothing was rolled back: {reason}\n{describe_live(self.desired, live)}\n",
            where=self.desired.environment,
            advice=(
                f"See its log (`fly logs -a {self.desired.app}`, here: "
                f"{Command('local', 'logs', self.desired.app)}), correct the file and apply again."
            ),
            checks=result.results,
        )


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds between two RFC 3339 times; 0 if one cannot be read."""
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _kept(desired: Desired, live: Live) -> tuple[Machine, ...]:
    """Return the live machines that stay, in the order of their slots."""
    wanted = {machine.name for machine in desired.machines}
    ours = our_machines(desired, live)
    return tuple(ours[slot] for slot in sorted(ours, key=slot_number) if slot in wanted)


def _to_prove(plan: Plan, done: CarriedOut, kept: Iterable[Machine]) -> dict[str, str]:
    """Return the machines that may serve, each with its config version; changed ones come first.

    A machine that stays asleep needs no proof while another one serves.
    """
    gone = {step.machine for step in plan.steps if isinstance(step, DestroyMachine)}
    stay = {machine.id: machine.instance_id for machine in kept if machine.id not in gone}
    return {**done.machines, **{key: stay[key] for key in stay if key not in done.machines}}


def _leaves_alone(machine: Machine, plan: Plan) -> bool:
    """Return whether a plan does not change a machine, so that its record has to be sent separately.

    New machines carry the record too, but a rollback removes them.
    """
    changed = {step.machine for step in plan.steps if isinstance(step, UpdateMachine)}
    return machine.id not in changed


def _is_new(release: Release, plan: Plan, recovery: Recovery) -> bool:
    """Return whether a plan makes a new release record, rather than a verdict for an earlier one.

    It also does if it only proves a live setup that differs from the newest record: the apply that
    wrote that record was killed before its first change.
    """
    if any(isinstance(step, CHANGED) for step in plan.steps):
        return True
    now, proves = recovery.current, any(isinstance(s, ProveRelease) for s in plan.steps)
    return proves and now is not None and now.setup != release.setup


def _amended(plan: Plan, live: Live, recovery: Recovery) -> Release | None:
    """Return the live release with new secrets, if a plan only rotates secrets of sleeping machines.

    No machine starts, so the gate cannot run: the release stays, marked as unproved.
    """
    now = recovery.current
    if now is None or not now.was_proved or not rotates_asleep(plan.steps):
        return None
    return now.with_secrets(live.secrets).with_verdict(Verdict.UNPROVED, now.why)


def _admitted_reason(good: Release, failed: Release) -> str:
    """Explain why an upgrade or a move to PostgreSQL is not rolled back."""
    if on_left_database(good, failed):
        return (
            f"the server had already admitted clients, and release {good.number} serves the database "
            "on the volume, which lacks what they wrote."
        )
    return (
        f"the server had already admitted clients, and release {good.number} runs Prefect {good.prefect}, "
        "which cannot read its database."
    )


def _no_target_reason(failed: Release | None, good: Release | None) -> str:
    """Explain why there is no release to roll back to."""
    if failed and failed.was_proved:
        return f"release {failed.number} is live, and it passed the gate before."
    if failed and good and failed.setup == good.setup and failed.secrets != good.secrets:
        return (
            "only secrets changed, and Fly does not return an old value. "
            "Set the previous value in the source that the file names, and apply again."
        )
    return "there is no other healthy release."


def _volume_id(desired: Desired, live: Live) -> str:
    if desired.volume is None:
        return ""
    volume = find_volume(desired.volume, live, our_machines(desired, live))
    return volume.id if volume else ""
