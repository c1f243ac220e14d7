"""From a plan to a proved release, or back to the last good one.

The record of a release goes with the change itself; its verdict is written after the gate. An
apply that dies in between leaves a record without a verdict, and the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Never

from roost.apply.executor import CarriedOut, Records, carry_out
from roost.apply.snapshots import Snapshots
from roost.apply.trial import remove_trials
from roost.apply.verdict import GateResult, Proof
from roost.apply.work import Work
from roost.errors import GateFailedError, NotRolledBackError, RoostError, UnappliableError
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
    record_patch,
    releases_on,
    rollback_target,
)
from roost.plan.resume import Recovery, recover, roll_back_to
from roost.plan.secrets import rotates_asleep
from roost.plan.steps import CreateMachine, DestroyMachine, Plan, ProveRelease, Risk, UpdateMachine
from roost.prefect.probe import CheckResult
from roost.prefect.versions import Version, parse_version

CHANGED = (CreateMachine, UpdateMachine, DestroyMachine)
RELEASED = (*CHANGED, ProveRelease)
"""What makes a release, or leaves one to be proved."""


UNSEEN = GateResult(())
"""What is known of a release that failed in an apply that ended since."""

OPENS_AFTER_S = 900
"""So long a server of our image waits to be proved after a migration (deploy/roost_server/maintenance_mode.py)."""


@dataclass(frozen=True)
class Releaser:
    """Carries one environment's plans out and answers for the result.

    Args:
        work: what to change things with.
        proof: how the server is proved.
        desired: what the environment file asks for.
        git: the commit it comes from, empty when unknown.
        now: the time, as records write it.
    """

    work: Work
    proof: Proof
    desired: Desired
    git: str
    now: Callable[[], str]

    async def apply(
        self, plan: Plan, live: Live, recovery: Recovery | None = None
    ) -> tuple[CheckResult, ...]:
        """Carry a plan out and prove what it made.

        Args:
            plan: made just now.
            live: what it was made from.
            recovery: what it is to reach, where that is not what the file asks for.

        Raises:
            GateFailedError: it was no good, and the last good release is back.
            NotRolledBackError: it was no good, and nothing could be put back.
            RoostError: it was not carried out to its end; what was done stays done.
        """
        await remove_trials(self.work.fly, self.desired.app, live)
        if recovery is None:
            recovery = recover(self.desired, live, our_machines(self.desired, live))
        result = await self._change(plan, live, recovery)
        if result is None:
            return ()
        if not result.good:
            changed = "" if recovery.failed else changed_by(plan)
            result = replace(result, changed=changed)
            await self._go_back(result, already=recovery.failed is not None)
        if recovery.failed:  # an apply that died had to put something back, and now it is
            raise self._went_back(recovery.failed, recovery.failed.why)
        return result.results

    async def _change(self, plan: Plan, live: Live, recovery: Recovery) -> GateResult | None:
        """Do the steps, prove the outcome and write the verdict; None where nothing runs."""
        self._check_way_back(plan, recovery)
        desired = recovery.desired
        amended = _amended(plan, live, recovery)
        release = amended or await self._draft(plan, live, recovery)
        kept = _kept(desired, live)
        new = release if release and _is_new(release, plan, recovery) else None
        keeper = kept[0] if new and kept and _leaves_alone(kept[0], plan) else None
        records = Records(release, recovery.releases, keeper)
        done = await carry_out(plan, self.work, _volume_id(desired, live), records)
        if not desired.machines or (amended and not done.woken):
            return None
        machines = _to_prove(plan, done, kept)
        result = await self._run_gate(machines, desired, live.machines)
        if not result.good and (result.opened or not result.died):
            before = await self.work.fly.list_machines(self.desired.app)
            await self._restart(done.machines or machines, before)
            result = (await self._run_gate(machines, desired, before)).after(result)
        proved = new or recovery.current
        if proved and any(isinstance(step, RELEASED) for step in plan.steps):
            await self._write_verdict(proved.number, result)
        return result

    def _check_way_back(self, plan: Plan, recovery: Recovery) -> None:
        """Refuse to go back behind an upgrade whose server has opened by itself meanwhile."""
        if plan.risk < Risk.MIGRATION or not recovery.desired.back:
            return
        version = recovery.desired.machines[0].config["metadata"][VERSION_KEY]
        upgrades = beyond(recovery.releases, parse_version(version) or Version(0, 0, 0))
        if upgrades and seconds_between(upgrades[0].at, self.now()) > OPENS_AFTER_S:
            environment = self.desired.environment
            raise UnappliableError(
                f"Release {upgrades[0].number} was not proved within 15 minutes, so its server "
                f"opened by itself; Prefect {version} cannot read its database any more.",
                where=environment,
                advice=(
                    "Mend the file and apply: it goes forward from there. Or go back with the data "
                    f"from before, see `roost backups {environment}`."
                ),
            )

    async def _draft(self, plan: Plan, live: Live, recovery: Recovery) -> Release | None:
        """Return the record of what is about to happen, with its snapshot if data is at stake."""
        release = draft(recovery.desired, live, recovery.releases)
        if release is None:
            return None
        volume = _volume_id(recovery.desired, live)
        snapshot = ""
        # What failed is gone back from at once: its snapshot was taken before it was tried.
        if volume and plan.risk >= Risk.MIGRATION and not recovery.failed:
            snapshots = Snapshots(self.proof, self.work.notice)
            snapshot = (await snapshots.take(volume, live.machines)).snapshot
        back_to = recovery.back_to
        return replace(release, git=self.git, at=self.now(), snapshot=snapshot, back_to=back_to)

    async def _run_gate(
        self, machines: Mapping[str, str], desired: Desired, before: tuple[Machine, ...]
    ) -> GateResult:
        """Run the gate for what is live now, whose image need not be the one the file asks for."""
        config = desired.machines[0].config
        stock, database = not is_our_image(config["image"]), named_database(config)
        proof = replace(self.proof, stock=stock, database=database)
        return await proof.run_gate(machines, config["metadata"][VERSION_KEY], before)

    async def _restart(self, machines: Iterable[str], now: Iterable[Machine]) -> None:
        """Give them the one more chance that mends a bad start, before anybody goes back."""
        self.work.notice("restart once")
        awake = {machine.id for machine in now if machine.state in LAUNCHED}
        # Of several, one that sleeps has nothing to mend.
        for machine in [key for key in machines if key in awake] or machines:
            nonce = await self.work.leases.hold(machine)
            await self.work.fly.restart_machine(self.desired.app, machine, nonce)

    async def _ours(self) -> tuple[Live, tuple[Machine, ...]]:
        live = await read_live(self.work.fly, self.desired.app)
        return live, tuple(our_machines(self.desired, live).values())

    async def _write_verdict(self, number: int, result: GateResult) -> None:
        """Write what the gate found into that release's record, on each machine that has it."""
        _, machines = await self._ours()
        verdict = Verdict.GOOD if result.good else Verdict.FAILED
        for release in releases_on(machines):
            if release.number == number:
                holders = tuple(m for m in machines if release.key in m.metadata)
                await self._record(release.with_verdict(verdict, result.why), holders)

    async def _record(self, release: Release, machines: tuple[Machine, ...]) -> None:
        """Write a record without touching what runs."""
        for machine in machines:
            values = record_patch(machine.metadata, release)
            await self.work.fly.patch_metadata(self.desired.app, machine.id, values)

    async def _go_back(self, result: GateResult, *, already: bool) -> Never:
        """Put the last good release back, unless what just failed is that one."""
        live, machines = await self._ours()
        releases = releases_on(machines)
        failed, good = current(releases), rollback_target(releases)
        if already or failed is None or good is None or failed.setup == good.setup:
            raise self._stays(result, live, _nowhere_to_go(failed, good))
        if result.opened and is_older(good, failed):
            raise self._stays(result, live, _opened(good))
        self.work.notice(f"put release {good.number} back: {result.why}")
        recovery = roll_back_to(good, self.desired, live, failed)
        try:
            again = await self._change(plan_from(recovery, live), live, recovery)
        except RoostError as error:
            raise self._stays(result, live, f"putting it back failed: {error}") from error
        if again is None or not again.good:
            why = again.why if again else "it has no machine."
            raise self._stays(result, live, f"release {good.number} is no good now: {why}")
        raise self._went_back(failed, result.why, result)

    def _went_back(self, failed: Release, why: str, result: GateResult = UNSEEN) -> GateFailedError:
        mend = "" if failed.back_to else "Mend the file. "
        told = f"Release {failed.number} failed: {why} The last good release is back, and proved."
        return GateFailedError(
            f"{result.changed} {told}".strip(),
            where=self.desired.environment,
            advice=(
                f"{mend}To try the same again: "
                f"`roost releases {self.desired.environment} --clear {failed.number}`."
            ),
            checks=result.results,
        )

    def _stays(self, result: GateResult, live: Live, reason: str) -> NotRolledBackError:
        return NotRolledBackError(
            f"{result.reason} Nothing was put back: {reason}\n{describe_live(self.desired, live)}\n",
            where=self.desired.environment,
            advice=(
                f"See its log (`fly logs -a {self.desired.app}`, here: "
                f"./run roost local logs {self.desired.app}), mend the file and apply again."
            ),
            checks=result.results,
        )


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds between two times as records write them; 0 where one is none."""
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def describe_live(desired: Desired, live: Live) -> str:
    """Say exactly what stands where, for whoever has to take over by hand."""
    machines = our_machines(desired, live)
    lines = [f"  app {desired.app}"]
    for slot, machine in sorted(machines.items()):
        image = (machine.config or {}).get("image", "unknown")
        lines.append(f"  machine {slot} {machine.id} {machine.state} image {image}")
    lines += [f"  volume {v.id} {v.size_gb} GB in {v.region}, untouched" for v in live.volumes]
    return "\n".join((*lines, *_release_lines(releases_on(machines.values()))))


def _release_lines(releases: Iterable[Release]) -> Iterator[str]:
    """Return what became of each release; of several in a row that differ in nothing, in one line."""
    for fate, alike in groupby(releases, key=_fate):
        numbers = [release.number for release in alike]
        named = f"release {numbers[0]}"
        if len(numbers) > 1:
            named = f"releases {numbers[0]} to {numbers[-1]}"
        yield f"  {named} {fate}"


def _fate(release: Release) -> str:
    snapshot = f", snapshot {release.snapshot}" if release.snapshot else ""
    return f"{release.verdict.value} {release.image}{snapshot}"


def _kept(desired: Desired, live: Live) -> tuple[Machine, ...]:
    """Return the machines that are there and are to stay, first slot first."""
    wanted = {machine.name for machine in desired.machines}
    ours = our_machines(desired, live)
    return tuple(ours[slot] for slot in sorted(ours, key=slot_number) if slot in wanted)


def _to_prove(plan: Plan, done: CarriedOut, kept: Iterable[Machine]) -> dict[str, str]:
    """Return the machines that may serve, each with its version: what was touched first.

    One that sleeps on needs no proof where another one serves, so all of them count.
    """
    gone = {step.machine for step in plan.steps if isinstance(step, DestroyMachine)}
    stay = {machine.id: machine.instance_id for machine in kept if machine.id not in gone}
    return {**done.machines, **{key: stay[key] for key in stay if key not in done.machines}}


def _leaves_alone(machine: Machine, plan: Plan) -> bool:
    """Return whether no change of a machine carries the record of what a plan makes.

    The machines that come with it may go again, and what they remember with them.
    """
    changed = {step.machine for step in plan.steps if isinstance(step, UpdateMachine)}
    return machine.id not in changed


def _is_new(release: Release, plan: Plan, recovery: Recovery) -> bool:
    """Return whether a plan leaves a record of its own, and not only a verdict in one of before.

    It does, too, where it only proves what is live and that is not what the record says: whoever wrote
    that died, or gave up, before any of it was done.
    """
    if any(isinstance(step, CHANGED) for step in plan.steps):
        return True
    now, proves = recovery.current, any(isinstance(s, ProveRelease) for s in plan.steps)
    return proves and now is not None and now.setup != release.setup


def _amended(plan: Plan, live: Live, recovery: Recovery) -> Release | None:
    """Return the release that a rotation in sleep leaves live; None for any other plan.

    Nothing starts, so nothing can be proved: what was proved goes on, unproved with these secrets.
    """
    now = recovery.current
    if now is None or not now.was_proved or not rotates_asleep(plan.steps):
        return None
    return now.with_secrets(live.secrets).with_verdict(Verdict.UNPROVED, now.why)


def _opened(good: Release) -> str:
    """Return why an upgrade is not gone back from."""
    return (
        f"the server had let everybody in, and release {good.number} runs Prefect {good.prefect}, "
        "which cannot read what was written since."
    )


def _nowhere_to_go(failed: Release | None, good: Release | None) -> str:
    """Return why there is nothing to put back."""
    if failed and failed.was_proved:
        return f"what stands is release {failed.number}, which was good before."
    if failed and good and failed.setup == good.setup and failed.secrets != good.secrets:
        return (
            "only secrets changed, and Fly never gives an old value back. "
            "Give the value of before where the file says it comes from, and apply again."
        )
    return "there is no other good release."


def _volume_id(desired: Desired, live: Live) -> str:
    if desired.volume is None:
        return ""
    volume = find_volume(desired.volume, live, our_machines(desired, live))
    return volume.id if volume else ""
