"""Carry a plan out, step by step: the only code that changes anything on Fly.

Every call can be the last one, and every answer can be lost. A plan made afterwards sees what was
done and holds only the rest; and within one run, what a call without an answer may have made is
looked for by its name before it is made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from roost.apply import start_stop
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
from roost.fly.client import FlyClient
from roost.fly.models import Machine, SecretInfo
from roost.plan.desired import OVERRIDE_KEY, SECRETS_KEY
from roost.plan.machines import LAUNCHED, merged_config
from roost.plan.override import noted
from roost.plan.ownership import with_volume
from roost.plan.releases import Release, record_patch, records_in, with_records
from roost.plan.restore import read_journal
from roost.plan.secret_fingerprints import Marks, with_marks
from roost.plan.secrets import sees_other_secrets
from roost.plan.steps import (
    AssignIp,
    CreateApp,
    CreateMachine,
    CreateVolume,
    DestroyMachine,
    ExtendVolume,
    Json,
    Plan,
    ProveRelease,
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
"""What is done to a machine that the plan found."""
RUNNING = frozenset({"starting", "started", "restarting"})


def is_current(machine: Machine, step: UpdateMachine | UpdateMetadata | ProveRelease) -> bool:
    """Return whether a machine still has the version it had when it was planned."""
    return machine.instance_id == step.current_version


@dataclass
class _Progress:
    """What earlier steps left for later ones."""

    volume: str = ""
    secrets_sent: bool = False
    secrets_version: int | None = None
    marks: Marks = field(default_factory=dict)
    release: Release | None = None
    known: tuple[Release, ...] = ()
    touched: dict[str, str] = field(default_factory=dict)
    """The version that each machine has from now on."""
    overrides: dict[str, str] = field(default_factory=dict)
    """Those that this run wrote, by machine."""
    woken: bool = False


@dataclass(frozen=True)
class Records:
    """What machines are to remember of releases.

    Args:
        release: the record that goes with every machine's change.
        known: the records of before, for machines that do not have them.
        keeper: a machine that no step changes and that is to remember the release; as it was planned.
    """

    release: Release | None = None
    known: tuple[Release, ...] = ()
    keeper: Machine | None = None


@dataclass(frozen=True)
class CarriedOut:
    """What came of a plan.

    Args:
        machines: those that were touched, each with its version from then on.
        woken: whether one that was planned asleep was awake, and so booted.
    """

    machines: Mapping[str, str]
    woken: bool = False


def check_appliable(plan: Plan) -> None:
    """Refuse a plan that says itself that it cannot be done.

    Raises:
        UnappliableError: names every refusal and its way out.
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
) -> CarriedOut:
    """Do the steps in order and return what came of them.

    Args:
        plan: made just now; nothing in it is refused.
        work: what to do it with.
        volume: id of the volume the plan found, empty when there is none yet.
        records: what machines are to remember; nothing if left out.

    Raises:
        ChangedMeanwhileError: live moved since the plan was made.
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
        work.notice(step.summary)
        await executor.do(step)
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

    async def do(self, step: Step) -> None:  # noqa: C901, PLR0912 - one line a kind of step
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
            case CreateMachine():
                await self.create_machine(step)
            case UpdateMachine():
                await self.update_machine(step)
            case UpdateMetadata():
                await self.update_metadata(step)
            case StartMachine():
                nonce = await self.hold(step)
                await start_stop.start(self.fly, app, step.machine, nonce)
            case UncordonMachine():
                nonce = await self.hold(step)
                await self.fly.uncordon_machine(app, step.machine, nonce)
            case ProveRelease():
                await self.prove_release(step)
            case DestroyMachine():
                nonce = await self.work.leases.take(step.machine)
                await self.fly.destroy_machine(app, step.machine, nonce)

    async def leave_record(self, keeper: Machine, release: Release) -> None:
        """Have a machine that stays as it is remember the release, if it is still as planned.

        Its lease is held from now on: the machines beside it are changed by nobody else meanwhile.
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
        """Set and remove in one batch, and remember for the machines that follow what Fly has now."""
        if self.progress.secrets_sent:  # both steps are one call
            return
        self.progress.secrets_sent = True
        # A machine that boots, by whatever cause, boots with these: nobody overtaken may set them.
        for step in self.plan.steps:
            if isinstance(step, UpdateMachine):
                await self.as_planned(step)
        await try_planned(self.plan, self.fly, self.work.secrets, self.work.notice)
        wanted = [name for s in self.plan.steps if isinstance(s, SetSecrets) for name in s.names]
        gone = [name for s in self.plan.steps if isinstance(s, UnsetSecrets) for name in s.names]
        if gone:
            await self.forget_what_booted()
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
        """Return what a plan will see from now on; nothing where that still lags behind."""
        try:
            found = await self.fly.list_secrets(self.plan.app, version)
        except FlyPreconditionError:
            return {}
        return {secret.name: secret for secret in found}

    async def forget_what_booted(self) -> None:
        """Have the machines say that they are behind, before a secret that has no mark is gone.

        A secret that is set shows by its digest that a machine has not booted with it yet. One that
        is removed shows nothing, should this apply die before it updates the machine.
        """
        for step in self.plan.steps:
            if isinstance(step, UpdateMachine):
                pending = {SECRETS_KEY: "being removed"}
                await self.fly.patch_metadata(self.plan.app, step.machine, pending)

    async def create_machine(self, step: CreateMachine) -> None:
        """Create a machine with its lease held."""
        config = self.recorded(with_volume(step.config, self.progress.volume), {})
        version = self.progress.secrets_version
        machine = await self.creations.create_machine(step, config, version)
        self.progress.touched[machine.id] = machine.instance_id
        if machine.nonce:
            await self.work.leases.hold(machine.id, machine.nonce)

    async def update_machine(self, step: UpdateMachine) -> None:
        """Replace the config, if the machine is still as planned."""
        nonce = await self.work.leases.hold(step.machine)
        machine = await self.as_planned(step)
        if step.skip_launch and machine.state in LAUNCHED:
            self.work.notice(f"the machine {step.machine} woke meanwhile: it stays awake")
            step = replace(step, skip_launch=False)
            self.progress.woken = True
        if step.skip_launch and sees_other_secrets(step.changes):
            await self.drop_memory(machine, nonce)
        # An update replaces all metadata, and a verdict or a backup may have come since the plan.
        config = self.recorded(merged_config(step.config, machine.config or {}), machine.metadata)
        try:
            updated = await self.send_update(step, config, nonce)
        except FlyUnavailableError:
            now = await self.fly.get_machine(self.plan.app, step.machine)
            if now is None or is_current(now, step):
                raise
            updated = now
        except FlyPreconditionError as error:
            raise self.changed(step) from error
        self.progress.touched[step.machine] = updated.instance_id
        # Fly says that an update starts a machine that rested, and has been seen to leave it there
        # (https://github.com/superfly/flyctl/pull/4754).
        if not step.skip_launch and machine.state not in RUNNING:
            await start_stop.start(self.fly, self.plan.app, step.machine, nonce)

    async def prove_release(self, step: ProveRelease) -> None:
        """Keep others from changing what is to be proved, and see that nobody has."""
        machine = await self.as_planned(step)
        self.progress.touched[step.machine] = machine.instance_id

    async def update_metadata(self, step: UpdateMetadata) -> None:
        """Write into the metadata, if the machine is still as planned; nothing boots."""
        machine = await self.as_planned(step)
        values = noted(machine.metadata, step.values)
        await self.fly.patch_metadata(self.plan.app, step.machine, values)
        if OVERRIDE_KEY in values:
            self.progress.overrides[step.machine] = values[OVERRIDE_KEY]

    async def hold(self, step: StartMachine | UncordonMachine) -> str:
        """Return the nonce of a machine's lease, unless a restore began and left it to be settled."""
        nonce = await self.work.leases.hold(step.machine)
        machine = await self.fly.get_machine(self.plan.app, step.machine)
        if machine is None or read_journal(machine):
            raise self.changed(step)
        self.progress.touched[step.machine] = machine.instance_id
        return nonce

    async def as_planned(self, step: UpdateMachine | UpdateMetadata | ProveRelease) -> Machine:
        """Return a machine that nobody changed since the plan, and nobody else can from now on.

        Neither an override nor a restore that began makes another version of it.
        """
        await self.work.leases.hold(step.machine)
        machine = await self.fly.get_machine(self.plan.app, step.machine)
        if machine is None or not is_current(machine, step):
            raise self.changed(step)
        if self.overridden_since(machine) or read_journal(machine):
            raise self.changed(step)
        return machine

    def overridden_since(self, machine: Machine) -> bool:
        """Return whether somebody wrote another override, which needs no new version of the machine."""
        planned = self.plan.base.get("overrides", {}).get(machine.id, "")
        expected = self.progress.overrides.get(machine.id, planned)
        return bool(machine.metadata.get(OVERRIDE_KEY, "") != expected)

    def changed(self, step: MachineStep) -> ChangedMeanwhileError:
        """Return the error for a machine that is not as planned any more."""
        return ChangedMeanwhileError(
            f"The machine {step.machine} changed after the plan was made.",
            where=step.key,
            advice=f"Plan again and look: roost plan {self.plan.environment}",
        )

    async def drop_memory(self, machine: Machine, nonce: str) -> None:
        """Stop a suspended machine: it would wake with the secrets it has in memory."""
        if machine.state not in start_stop.SUSPENDED:
            return
        await start_stop.stop(self.fly, self.plan.app, machine, nonce)

    async def send_update(self, step: UpdateMachine, config: Json, nonce: str) -> Machine:
        """Send the update itself."""
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
        """Return a config with all records in it, this release's too: never the one without the other.

        Args:
            config: without any record.
            metadata: what the machine has now, whose records are newer than those we know.
        """
        config = with_marks(config, self.progress.marks)
        new = [self.progress.release] if self.progress.release else []
        return with_records(config, [*self.progress.known, *records_in(metadata), *new])
