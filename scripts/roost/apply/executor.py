"""Carry out a plan on Fly, step by step.

An apply can be killed after any call, and any answer can be lost. A later plan compares with the
live state again, so it contains only the steps that are left. Within one run, an object whose answer
was lost is looked up by name before it is created again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from roost.apply import start_stop
from roost.apply.carried_out import CarriedOut, Records
from roost.apply.copy_database import Copier
from roost.apply.create_once import Creations
from roost.apply.secrets_lag import sent_once_seen
from roost.apply.trial import try_planned
from roost.apply.work import LEASE_TTL_S, Work
from roost.errors import (
    ChangedMeanwhileError,
    FlyPreconditionError,
    FlyUnavailableError,
    UnappliableError,
)
from roost.errors.command import Command
from roost.fly.client import FlyClient
from roost.fly.models import Machine, SecretInfo
from roost.plan.desired import OVERRIDE_KEY, SECRETS_KEY
from roost.plan.machines import LAUNCHED
from roost.plan.merged_config import merged_config
from roost.plan.override import noted
from roost.plan.ownership import with_volume
from roost.plan.releases import Release, record_patch, records_in, with_records
from roost.plan.restore import read_journal
from roost.plan.secret_fingerprints import Marks, with_marks
from roost.plan.secrets import sees_other_secrets
from roost.plan.steps import (
    AssignIp,
    CopyDatabase,
    CreateApp,
    CreateMachine,
    CreateVolume,
    DestroyMachine,
    ExtendVolume,
    Json,
    Plan,
    ProveRelease,
    ReconcileObjects,
    ReleaseIp,
    SetSecrets,
    StartMachine,
    Step,
    UncordonMachine,
    UnsetSecrets,
    UpdateMachine,
    UpdateMetadata,
    UpdateVolume,
)

MachineStep = UpdateMachine | UpdateMetadata | ProveRelease | StartMachine | UncordonMachine
"""Steps that change a machine which existed when the plan was made."""
Replaced = CreateMachine | UpdateMachine
GoesOn = Callable[[Replaced, Mapping[str, str]], Awaitable[bool]]


def is_current(machine: Machine, step: UpdateMachine | UpdateMetadata | ProveRelease) -> bool:
    """Return whether a machine still has the version it had when it was planned."""
    return machine.instance_id == step.current_version


@dataclass
class _Progress:
    """What earlier steps of this run leave for later ones."""

    volume: str = ""
    secrets_sent: bool = False
    secrets_version: int | None = None
    marks: Marks = field(default_factory=dict)
    release: Release | None = None
    known: tuple[Release, ...] = ()
    touched: dict[str, str] = field(default_factory=dict)
    """By machine id, its config version after this run's changes."""
    copied: dict[str, str] = field(default_factory=dict)
    """By machine id, its config version after it copied its database."""
    overrides: dict[str, str] = field(default_factory=dict)
    """By machine id, the override that this run wrote."""
    woken: bool = False


def check_appliable(plan: Plan) -> None:
    """Check that a plan has no refusals.

    Raises:
        UnappliableError: names every refusal and how to resolve it.
    """
    if plan.refusals:
        reasons = "; ".join(f"{r.key}: {r.what}" for r in plan.refusals)
        advice = " ".join(dict.fromkeys(refusal.advice for refusal in plan.refusals))
        raise UnappliableError(f"{reasons}.", advice=f"{advice} Nothing was changed.")


async def carry_out(
    plan: Plan,
    work: Work,
    volume: str = "",
    records: Records | None = None,
    goes_on: GoesOn | None = None,
) -> CarriedOut:
    """Carry out the steps in order.

    Args:
        plan: the plan, made just before, without refusals.
        work: what to change things with.
        volume: id of the live volume; empty if there is none yet.
        records: the release records for the machines; none by default.
        goes_on: asked after each machine whether the steps that follow may be done.

    Raises:
        ChangedMeanwhileError: the live state changed since the plan was made.
        FlyError: Fly refused or failed; earlier steps stay done.
    """
    check_appliable(plan)
    records = records or Records()
    progress = _Progress(
        volume=volume, release=records.release, known=records.known, marks=plan.marks
    )
    executor = _Executor(plan, work, progress, Creations(work.fly, plan, LEASE_TTL_S))
    if records.keeper and records.release:
        await executor.leave_record(records.keeper, records.release)
    for step in plan.steps:
        if isinstance(step, ReconcileObjects):
            continue
        work.notice(step.summary)
        await executor.do(step)
        if goes_on and isinstance(step, Replaced) and not await goes_on(step, progress.touched):
            break
    return CarriedOut(progress.touched, progress.woken)


@dataclass
class _Executor:
    plan: Plan
    work: Work
    progress: _Progress
    creations: Creations

    @property
    def fly(self) -> FlyClient:
        """The API."""
        return self.work.fly

    async def do(self, step: Step) -> None:  # noqa: C901, PLR0912 - one case for each kind of step
        """Carry out one step."""
        app = self.plan.app
        match step:
            case CreateApp():
                await self.creations.create_app(step)
                if self.work.app_created:
                    await self.work.app_created()
            case AssignIp():
                await self.creations.assign_ip(step)
            case ReleaseIp():
                await self.fly.release_ip(app, step.ip)
            case CreateVolume():
                self.progress.volume = await self.creations.create_volume(step)
            case ExtendVolume():
                await self.fly.extend_volume(app, step.volume, step.size_gb)
            case UpdateVolume():
                await self.fly.update_volume(
                    app, step.volume, snapshot_retention=step.snapshot_retention
                )
            case SetSecrets() | UnsetSecrets():
                await self.change_secrets()
            case CopyDatabase():
                await self.copy_database(step)
            case CreateMachine():
                await self.create_machine(step)
            case UpdateMachine():
                await self.update_machine(step)
            case UpdateMetadata():
                await self.update_metadata(step)
            case StartMachine():
                nonce = await self.hold_lease(step)
                await start_stop.start(self.fly, app, step.machine, nonce)
            case UncordonMachine():
                nonce = await self.hold_lease(step)
                await self.fly.uncordon_machine(app, step.machine, nonce)
            case ProveRelease():
                await self.prove_release(step)
            case ReconcileObjects():
                pass  # carried out after the gate: apply/objects_step.py
            case DestroyMachine():
                nonce = await self.work.leases.take(step.machine)
                await self.fly.destroy_machine(app, step.machine, nonce)

    async def leave_record(self, keeper: Machine, release: Release) -> None:
        """Write the record to a machine that is not changed, if it is still as planned.

        This also takes its lease, so nobody else changes the machines beside it meanwhile.
        """
        step = ProveRelease(
            key=f"release/{release.number}",
            summary="",
            machine=keeper.id,
            current_version=keeper.instance_id,
        )
        now = await self.as_planned(step)
        values = record_patch(now.metadata, release)
        await self.fly.patch_metadata(self.plan.app, keeper.id, values)

    async def change_secrets(self) -> None:
        """Set and remove secrets in one call; keep the fingerprints for the machine steps that follow."""
        if self.progress.secrets_sent:  # SetSecrets and UnsetSecrets are sent together
            return
        self.progress.secrets_sent = True
        # Any machine that boots from now on gets these secrets, so an outdated plan must stop here.
        for step in self.plan.steps:
            if isinstance(step, UpdateMachine):
                await self.as_planned(step)
        await try_planned(self.plan, self.fly, self.work.secrets, self.work.notice)
        wanted = [name for s in self.plan.steps if isinstance(s, SetSecrets) for name in s.names]
        gone = [name for s in self.plan.steps if isinstance(s, UnsetSecrets) for name in s.names]
        if gone:
            await self.mark_machines_behind()
        values = {name: self.work.secrets[name] for name in wanted}
        update = await self.fly.set_secrets(self.plan.app, {**values, **dict.fromkeys(gone)})
        self.progress.secrets_version = update.version or None
        found = {secret.name: secret for secret in update.secrets}
        if self.progress.release or not found.keys() >= values.keys():
            found |= await self.listed_secrets(update.version)
        if self.progress.release:
            self.progress.release = self.progress.release.with_secrets(found.values())
        made = {name: self.work.mark(found[name], values[name]) for name in values if name in found}
        kept = {name: mark for name, mark in self.progress.marks.items() if name not in values}
        self.progress.marks = {**kept, **made}

    async def listed_secrets(self, version: int) -> dict[str, SecretInfo]:
        """Return the secrets that Fly lists now; empty if its list is still older than the change."""
        try:
            found = await self.fly.list_secrets(self.plan.app, version)
        except FlyPreconditionError:
            return {}
        return {secret.name: secret for secret in found}

    async def mark_machines_behind(self) -> None:
        """Note on each machine that secrets are being removed, before they are.

        If this apply is killed before it updates the machines, the next plan must see that they
        still run with the old secrets. For a secret that is set, its digest shows that; a removed
        one leaves nothing to compare.
        """
        for step in self.plan.steps:
            if isinstance(step, UpdateMachine):
                pending = {SECRETS_KEY: "being removed"}
                await self.fly.patch_metadata(self.plan.app, step.machine, pending)

    async def create_machine(self, step: CreateMachine) -> None:
        """Create a machine and take its lease."""
        config = self.recorded(with_volume(step.config, self.progress.volume), {})
        version = self.progress.secrets_version
        machine = await self.creations.create_machine(step, config, version)
        self.progress.touched[machine.id] = machine.instance_id
        if machine.nonce:
            await self.work.leases.hold(machine.id, machine.nonce)

    async def copy_database(self, step: CopyDatabase) -> None:
        """Have a machine copy its database, before the step that gives it its new config."""
        steps = (s for s in self.plan.steps if isinstance(s, UpdateMachine))
        update = next(s for s in steps if s.machine == step.machine)
        machine = await self.as_planned(update)
        nonce = await self.work.leases.hold(step.machine)

        async def send(step: UpdateMachine, config: Json) -> Machine:
            return await self.sent(step, config, nonce)

        name, work = self.plan.environment, self.work
        copier = Copier(self.fly, self.plan.app, name, work.notice, send, work.more_time)
        self.progress.copied[step.machine] = await copier.copy(update, machine, nonce)

    async def update_machine(self, step: UpdateMachine) -> None:
        """Replace the config, if the machine is still as planned."""
        version = self.progress.copied.get(step.machine, step.current_version)
        step = replace(step, current_version=version)
        nonce = await self.work.leases.hold(step.machine)
        machine = await self.as_planned(step)
        if step.skip_launch and machine.state in LAUNCHED:
            self.work.notice(f"the machine {step.machine} woke meanwhile: it stays awake")
            step = replace(step, skip_launch=False)
            self.progress.woken = True
        if step.skip_launch and sees_other_secrets(step.changes):
            await self.stop_suspended(machine, nonce)
        # An update replaces all metadata, so keep what was written since the plan, such as a verdict.
        config = self.recorded(merged_config(step.config, machine.config or {}), machine.metadata)
        updated = await self.sent(step, config, nonce)
        self.progress.touched[step.machine] = updated.instance_id
        # Fly says that an update starts a machine that rested, and has been seen to leave it there
        # (https://github.com/superfly/flyctl/pull/4754).
        if not step.skip_launch and machine.state not in start_stop.RUNNING:
            before = machine.config
            await start_stop.start(self.fly, self.plan.app, step.machine, nonce, before)

    async def prove_release(self, step: ProveRelease) -> None:
        """Take the lease of the machine that the gate proves, and check that nobody changed it."""
        machine = await self.as_planned(step)
        self.progress.touched[step.machine] = machine.instance_id

    async def update_metadata(self, step: UpdateMetadata) -> None:
        """Write metadata without a restart, if the machine is still as planned."""
        machine = await self.as_planned(step)
        values = noted(machine.metadata, step.values)
        await self.fly.patch_metadata(self.plan.app, step.machine, values)
        if OVERRIDE_KEY in values:
            self.progress.overrides[step.machine] = values[OVERRIDE_KEY]

    async def hold_lease(self, step: StartMachine | UncordonMachine) -> str:
        """Take a machine's lease and return its nonce; stop if a restore of the machine is under way."""
        nonce = await self.work.leases.hold(step.machine)
        machine = await self.fly.get_machine(self.plan.app, step.machine)
        if machine is None or read_journal(machine):
            raise self.changed(step)
        self.progress.touched[step.machine] = machine.instance_id
        return nonce

    async def as_planned(self, step: UpdateMachine | UpdateMetadata | ProveRelease) -> Machine:
        """Take a machine's lease and return the machine, if nobody changed it since the plan.

        An override and a restore are compared by metadata: they do not make a new config version.
        """
        await self.work.leases.hold(step.machine)
        machine = await self.fly.get_machine(self.plan.app, step.machine)
        if machine is None or not is_current(machine, step):
            raise self.changed(step)
        if self.overridden_since(machine) or read_journal(machine):
            raise self.changed(step)
        return machine

    def overridden_since(self, machine: Machine) -> bool:
        """Return whether somebody else set or ended an override since the plan."""
        planned = self.plan.base.get("overrides", {}).get(machine.id, "")
        expected = self.progress.overrides.get(machine.id, planned)
        return bool(machine.metadata.get(OVERRIDE_KEY, "") != expected)

    def changed(self, step: MachineStep) -> ChangedMeanwhileError:
        """Return the error for a machine that somebody else changed."""
        return ChangedMeanwhileError(
            f"The machine {step.machine} changed after the plan was made.",
            where=step.key,
            advice=f"Make a new plan and review it: {Command('plan', self.plan.environment)}",
        )

    async def stop_suspended(self, machine: Machine, nonce: str) -> None:
        """Stop a suspended machine. Resumed, it would still have the old secrets in memory."""
        if machine.state not in start_stop.SUSPENDED:
            return
        await start_stop.stop(self.fly, self.plan.app, machine, nonce)

    async def sent(self, step: UpdateMachine, config: Json, nonce: str) -> Machine:
        """Send the update, and find out what became of it if its answer was lost."""
        try:
            return await self.send_update(step, config, nonce)
        except FlyUnavailableError:
            now = await self.fly.get_machine(self.plan.app, step.machine)
            if now is None or is_current(now, step):
                raise
            return now
        except FlyPreconditionError as error:
            raise self.changed(step) from error

    async def send_update(self, step: UpdateMachine, config: Json, nonce: str) -> Machine:
        """Send the update; try again while the machine's host does not see the new secrets."""
        version = self.progress.secrets_version

        async def send() -> Machine:
            return await self.fly.update_machine(
                self.plan.app,
                step.machine,
                config,
                current_version=step.current_version,
                nonce=nonce,
                skip_launch=step.skip_launch,
                min_secrets_version=version,
            )

        async def unchanged() -> bool:
            now = await self.fly.get_machine(self.plan.app, step.machine)
            return now is not None and is_current(now, step)

        return await sent_once_seen(send, version, unchanged)

    def recorded(self, config: Json, metadata: Mapping[str, str]) -> Json:
        """Add all release records and secret fingerprints to a config.

        Args:
            config: the config without any record.
            metadata: the machine's current metadata; its records win over older copies of them.
        """
        config = with_marks(config, self.progress.marks)
        new = [self.progress.release] if self.progress.release else []
        return with_records(config, [*self.progress.known, *records_in(metadata), *new])
