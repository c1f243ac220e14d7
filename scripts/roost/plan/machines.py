"""Plan the steps from the live machines to the desired ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.compare import differences, leftovers
from roost.plan.database_move import is_moved
from roost.plan.dead_host import silent_machine
from roost.plan.desired import (
    FLOW_SERVER,
    OVERRIDE_KEY,
    REDIS_DATA,
    VERSION_KEY,
    Desired,
    DesiredMachine,
)
from roost.plan.foreign_machines import foreign_machine_item
from roost.plan.image import pinned, version_in
from roost.plan.live import Live
from roost.plan.merged_config import runs_other_command
from roost.plan.override import decode
from roost.plan.ownership import (
    is_adopted,
    is_named,
    is_ours,
    slot_number,
    slot_of,
    with_volume,
)
from roost.plan.releases import releases_on, snapshot_before
from roost.plan.replicas import in_order, meanwhile
from roost.plan.retention import deletes_more
from roost.plan.secrets import FIELD
from roost.plan.steps import (
    Change,
    CreateMachine,
    DestroyMachine,
    Json,
    PlanItem,
    Refusal,
    Risk,
    StartMachine,
    UncordonMachine,
    UpdateMachine,
    UpdateMetadata,
)
from roost.prefect.versions import Version, parse_version
from roost.secret_text import HIDDEN

# States after an interrupted apply or a failed start. The proxy does not wake such a machine.
STRANDED = frozenset({"created", "failed", "launch_failed"})
# In any other state a machine sleeps, and an update does not wake it (as flyctl does it).
LAUNCHED = STRANDED | {
    "creating",
    "starting",
    "started",
    "restarting",
    "replacing",
    "updating",
}


@dataclass(frozen=True)
class _Sleep:
    """Whether a sleeping machine has to run, and whether another machine serves."""

    must_run: bool
    served: bool


def compare_machines(
    desired: Desired, ours: Mapping[str, Machine], secrets: Mapping[str, tuple[Change, ...]]
) -> Iterator[PlanItem]:
    """Compare each machine.

    Args:
        desired: the desired state.
        ours: the live machines by slot.
        secrets: changes of secrets by slot, which a machine sees only after a restart.
    """
    waking = _waking(desired, ours)
    served = any(machine.state in LAUNCHED for machine in ours.values())
    for wanted in in_order(desired.machines):
        machine = ours.get(wanted.name)
        if machine is None:
            yield _create(wanted)
        else:
            must_run = wanted.name in waking
            versions = _version_change(desired, machine, wanted)
            booted = secrets.get(wanted.name, ())
            sleep = _Sleep(must_run=must_run, served=served)
            if is_adopted(machine, desired) and versions is Risk.RESTART and machine.mounted_volume:
                versions = Risk.DATA  # a snapshot is taken before its first change by Roost
            yield from _one_machine(desired.environment, wanted, machine, booted, versions, sleep)


def surplus_machines(
    desired: Desired, live: Live, ours: Mapping[str, Machine], *, back: bool = False
) -> Iterator[PlanItem]:
    """Return the removal of machines that are not wanted, the highest slot first.

    Foreign machines are left alone. `back` says that the plan is a rollback.
    """
    wanted = {machine.name for machine in desired.machines}
    keep = {machine.id for slot, machine in ours.items() if slot in wanted}
    surplus = [machine for machine in live.machines if machine.id not in keep]
    for machine in sorted(surplus, key=lambda m: (slot_number(slot_of(m)), m.id), reverse=True):
        if not is_ours(machine, desired) or is_named(machine, desired):
            yield foreign_machine_item(desired, live, machine, back=back)
        elif machine.mounted_volume:
            yield Refusal(
                f"machine/{slot_of(machine)}",
                f"the machine {machine.id} has data on a volume and the file no longer asks for it",
                "Check its data, then remove it by hand: `fly machine destroy`.",
            )
        else:
            yield _destroy(machine, Risk.RESTART if desired.machines else Risk.DOWNTIME)


def _waking(desired: Desired, ours: Mapping[str, Machine]) -> frozenset[str]:
    """Return the sleeping slots to wake so that enough machines run; the lowest first."""
    sleeping = [
        wanted.name
        for wanted in desired.machines
        if wanted.name in ours and ours[wanted.name].state not in LAUNCHED
    ]
    running = len(desired.machines) - len(sleeping)
    return frozenset(sleeping[: max(0, desired.always_on - running)])


def _one_machine(  # noqa: PLR0913, PLR0917 - what is known of one machine
    environment: str,
    wanted: DesiredMachine,
    machine: Machine,
    secrets: tuple[Change, ...],
    versions: Risk | Refusal,
    sleep: _Sleep,
) -> Iterator[PlanItem]:
    if machine.config is None:
        yield silent_machine(environment, wanted.name, machine)
        return
    override = _override_change(wanted, machine)
    if isinstance(versions, Refusal):
        yield versions
    elif machine.region != wanted.region:
        yield from _move(wanted, machine)
    elif is_moved(machine.config) and "mounts" not in wanted.config:
        # A machine keeps its mount for life. Its data is in PostgreSQL, and the move was confirmed.
        yield _destroy(machine, Risk.DOWNTIME)
        yield _create(wanted)
    elif changes := (*_config_changes(wanted, machine), *secrets):
        yield _update(wanted, machine, (*override, *changes), versions, sleep)
    else:
        if override:
            yield _note(wanted, machine, override)
        if machine.state in STRANDED:
            yield _start(wanted.name, machine, f"it is in the state {machine.state}")
        elif sleep.must_run:
            yield _start(wanted.name, machine, "it must always run")
    if machine.cordoned:
        yield _uncordon(wanted.name, machine)


def _config_changes(wanted: DesiredMachine, machine: Machine) -> tuple[Change, ...]:
    """Compare the config, and the fields that the newest release sent and the file dropped."""
    live = machine.config or {}
    if wanted.config["image"] == (same := pinned(str(live.get("image", "")), machine.image_ref)):
        live = {**live, "image": same}  # the digest that it runs
    found = differences(_unmarked(wanted.config), live)
    if runs_other_command(wanted.config, live):
        found = (*found, Change("init", HIDDEN, None))
    records = releases_on([machine])
    left = leftovers(records[-1].config, wanted.config, live) if records else ()
    shown = {change.field for change in found}
    return (*found, *(change for change in left if change.field not in shown))


def _override_change(wanted: DesiredMachine, machine: Machine) -> tuple[Change, ...]:
    """Compare the overrides; one that cannot be read counts as none."""
    want, have = decode(_override(wanted.config)), decode(_override(machine.config or {}))
    if want == have:
        return ()
    return (Change("override", have and have.summary(), want and want.summary()),)


def _override(config: Json) -> str:
    return str((config.get("metadata") or {}).get(OVERRIDE_KEY, ""))


def _unmarked(config: Json) -> Json:
    """Return the config without the override, which is compared by meaning and not as text."""
    kept = {key: value for key, value in config["metadata"].items() if key != OVERRIDE_KEY}
    return {**config, "metadata": kept}


def _note(wanted: DesiredMachine, machine: Machine, changes: tuple[Change, ...]) -> UpdateMetadata:
    """Return the step for an override that changes nothing else, and so needs no restart."""
    return UpdateMetadata(
        key=f"machine/{wanted.name}/override",
        summary=f"write the override to the machine {wanted.name}, without a restart",
        changes=changes,
        machine=machine.id,
        current_version=machine.instance_id,
        values={OVERRIDE_KEY: _override(wanted.config)},
    )


def _move(wanted: DesiredMachine, machine: Machine) -> Iterator[PlanItem]:
    """Replace a machine in another region; refuse if it has data, as volumes do not move."""
    if machine.mounted_volume:
        yield Refusal(
            f"machine/{wanted.name}",
            f"the machine and its data are in {machine.region}; they do not move to {wanted.region}",
            f"Keep region {machine.region}, or make a new environment in {wanted.region}.",
        )
        return
    # Removed first, as two machines cannot have one name.
    yield _destroy(machine, Risk.DOWNTIME, (Change("region", machine.region, wanted.region),))
    yield _create(wanted)


def _version_change(desired: Desired, machine: Machine, wanted: DesiredMachine) -> Risk | Refusal:
    """Return the risk of a change of the Prefect version, or a refusal.

    Patch releases of Prefect migrate too, so every older version is refused. A rollback of an upgrade
    that was never proved is possible: the server kept the previous database.
    """
    have = parse_version(running_version(machine))
    want = parse_version(wanted.config["metadata"][VERSION_KEY])
    if have is None or want is None or have == want:
        return Risk.RESTART
    if want > have or desired.back:
        return Risk.MIGRATION
    return Refusal(
        f"machine/{wanted.name}",
        f"Prefect {have} already migrated the database; {want} cannot read it",
        f"Keep version {have}. {_way_back(desired.environment, machine, want)}",
    )


def running_version(machine: Machine) -> str:
    """Return the Prefect version of a machine, from its mark or its image's tag; empty if unknown."""
    return machine.metadata.get(VERSION_KEY, "") or version_in(
        (machine.config or {}).get("image", "")
    )


def _way_back(environment: str, machine: Machine, want: Version) -> str:
    """Explain how to go to an older Prefect: with data that it can read."""
    if not machine.mounted_volume:
        return "For the older one, make a new environment with a database from before the upgrade."
    snapshot = snapshot_before(releases_on([machine]), want) or "ID"
    listed = "" if snapshot != "ID" else f" (`{Command('backups', environment)}` lists them)"
    return (
        f"To go back with the data from before the upgrade, and lose what was written since: with "
        f"prefect.version {want} in the file, `{Command('restore', environment, '--snapshot', snapshot)}`"
        f"{listed}."
    )


def _create(wanted: DesiredMachine) -> CreateMachine:
    return CreateMachine(
        key=f"machine/{wanted.name}",
        summary=f"create the machine {wanted.name} in {wanted.region}",
        name=wanted.name,
        region=wanted.region,
        config=wanted.config,
    )


def _update(
    wanted: DesiredMachine,
    machine: Machine,
    changes: tuple[Change, ...],
    risk: Risk,
    sleep: _Sleep,
) -> UpdateMachine:
    only_secrets = all(change.field == FIELD for change in changes)
    # No command proves a flow server that sleeps, so new secrets wake it for its gate.
    wakes = sleep.must_run or (only_secrets and FLOW_SERVER in _env(wanted.config))
    sleeps = machine.state not in LAUNCHED and not wakes
    # A sleeping machine that only gets other secrets stays asleep; the next use proves it.
    if risk is Risk.RESTART and deletes_more(_env(machine.config), _env(wanted.config)):
        risk = Risk.DATA  # a snapshot is taken first
    if risk is Risk.RESTART and _is_other_redis(wanted, changes):
        risk = Risk.MIGRATION  # the same, as another Redis may rewrite its file
    rests = sleeps and (sleep.served or only_secrets)
    note = ", which stays asleep" if rests else ", and wake it for the gate" if sleeps else ""
    note = note or meanwhile(wanted.config, machine.config or {})
    return UpdateMachine(
        key=f"machine/{wanted.name}",
        summary=f"update the machine {wanted.name}{note}",
        risk=Risk.NONE if rests and risk is Risk.RESTART else risk,
        changes=changes,
        machine=machine.id,
        current_version=machine.instance_id,
        config=with_volume(wanted.config, machine.mounted_volume),
        skip_launch=sleeps,
        theirs=wanted.theirs,
    )


def _is_other_redis(wanted: DesiredMachine, changes: tuple[Change, ...]) -> bool:
    """Return whether a Redis that Roost deploys gets another image, and maybe another Redis."""
    return REDIS_DATA in _env(wanted.config) and any(change.field == "image" for change in changes)


def _env(config: Json | None) -> dict[str, str]:
    return (config or {}).get("env") or {}


def _start(name: str, machine: Machine, why: str) -> StartMachine:
    return StartMachine(
        key=f"machine/{name}",
        summary=f"start the machine {name}: {why}",
        changes=(Change("state", machine.state, "started"),),
        machine=machine.id,
    )


def _uncordon(name: str, machine: Machine) -> UncordonMachine:
    return UncordonMachine(
        key=f"machine/{name}/cordon",
        summary=f"uncordon the machine {name}, so that requests reach it",
        changes=(Change("cordoned", old=True, new=False),),
        machine=machine.id,
    )


def _destroy(machine: Machine, risk: Risk, changes: tuple[Change, ...] = ()) -> DestroyMachine:
    slot = slot_of(machine)
    return DestroyMachine(
        # With the id, as the same plan may fill the slot with another machine.
        key=f"machine/{slot}/{machine.id}",
        summary=f"remove the machine {slot} ({machine.id}) in {machine.region}",
        risk=risk,
        changes=changes,
        machine=machine.id,
    )
