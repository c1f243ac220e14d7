"""Plan the steps from the live volume to the desired one; refuse what would lose data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from roost.errors.command import Command
from roost.fly.models import Machine, Volume
from roost.plan.backups import retained_volumes
from roost.plan.database_move import is_moved, kept_volume_notes
from roost.plan.dead_host import WAIT, is_silent, silent_volume
from roost.plan.desired import ENVIRONMENT_KEY, Desired, DesiredVolume, named_database
from roost.plan.disk_usage import fullness_notes
from roost.plan.live import Live
from roost.plan.ownership import candidate_volumes
from roost.plan.steps import (
    Change,
    CreateVolume,
    ExtendVolume,
    PlanItem,
    Refusal,
    UpdateVolume,
)


def compare_volumes(
    desired: Desired, live: Live, ours: Mapping[str, Machine]
) -> Iterator[PlanItem]:
    """Compare the desired volume with those of the app."""
    if desired.volume is None:
        yield from _no_volume(desired, live, ours)
        return
    candidates = candidate_volumes(desired.volume, live, ours)
    if len(candidates) == 1:
        yield from _changes(desired.volume, candidates[0])
        yield from fullness_notes(desired.volume, candidates[0])
        if not ours:
            yield _reused(desired.environment, candidates[0])
    elif candidates:
        yield _ambiguous(desired, candidates)
    elif ours:
        yield _unusable(desired.environment, ours)
    elif theirs := _attached(desired.volume, live):
        yield _of_another(theirs)
    else:
        yield create_volume(desired, desired.volume)
    kept = retained_volumes(ours.values())
    left = [v for v in live.volumes if v not in candidates]
    for volume in (v for v in left if v.id in kept):
        yield (
            f"The volume {volume.id} ({volume.size_gb} GB) is from before a restore and costs money. "
            "Once the restored data is right, remove it: "
            f"`{Command('restore', desired.environment, '--confirm', volume.id)}`."
        )
    yield from _unused(v for v in left if v.id not in kept)


def _reused(environment: str, volume: Volume) -> PlanItem:
    if is_silent(volume):
        return silent_volume(environment, volume)
    made = f", created {volume.created_at}," if volume.created_at else ""
    return (
        f"The new machine uses the existing volume {volume.id}{made} with the data on it. "
        "If you do not want that, remove the volume first: "
        f"`fly volumes destroy {volume.id}`."
    )


def _attached(wanted: DesiredVolume, live: Live) -> Volume | None:
    """Return a volume of the wanted name that a machine without an environment's marks has."""
    machines = {
        machine.id for machine in live.machines if not machine.metadata.get(ENVIRONMENT_KEY)
    }
    named = sorted((v for v in live.volumes if v.name == wanted.name), key=lambda v: v.id)
    return next((v for v in named if v.attached_machine_id in machines), None)


def _of_another(volume: Volume) -> Refusal:
    """Refuse an empty volume beside the one that may hold the data."""
    return Refusal(
        f"volume/{volume.name}",
        f"the volume {volume.id} of that name belongs to the machine {volume.attached_machine_id}, which "
        "is not known as Roost's",
        "If it is the server, name it under `adopt` and wait until its host answers; else rename "
        "database.volume_name.",
    )


def create_volume(desired: Desired, wanted: DesiredVolume) -> CreateVolume:
    """Return the step that creates the volume, on a host with room for the machine."""
    machine = desired.machines[0]
    return CreateVolume(
        key=f"volume/{wanted.name}",
        summary=f"create a {wanted.size_gb} GB volume in {wanted.region}",
        fields={
            "name": wanted.name,
            "region": wanted.region,
            "size_gb": wanted.size_gb,
            "snapshot_retention": wanted.snapshot_retention,
            "encrypted": True,
            "compute": machine.config["guest"],
            "compute_image": machine.config["image"],
        },
    )


def _changes(wanted: DesiredVolume, volume: Volume) -> Iterator[PlanItem]:
    key = f"volume/{wanted.name}"
    if volume.region and volume.region != wanted.region:
        yield Refusal(
            key,
            f"the data is in {volume.region}; a volume does not move to {wanted.region}",
            f"Keep region {volume.region}, or make a new environment and restore a snapshot into it.",
        )
    if max(wanted.size_gb, wanted.limit_gb) < volume.size_gb:
        yield _larger_already(wanted, volume, key)
    if wanted.size_gb > volume.size_gb:
        yield ExtendVolume(
            key=key,
            summary=f"extend the volume to {wanted.size_gb} GB",
            changes=(Change("size_gb", volume.size_gb, wanted.size_gb),),
            volume=volume.id,
            size_gb=wanted.size_gb,
        )
    have = volume.snapshot_retention
    if have is not None and have != wanted.snapshot_retention:
        yield UpdateVolume(
            key=f"{key}/snapshots",
            summary=f"keep snapshots for {wanted.snapshot_retention} days",
            changes=(Change("snapshot_retention", have, wanted.snapshot_retention),),
            volume=volume.id,
            snapshot_retention=wanted.snapshot_retention,
        )


def _larger_already(wanted: DesiredVolume, volume: Volume, key: str) -> Refusal:
    have = f"the volume has {volume.size_gb} GB"
    if not wanted.limit_gb:
        what = f"{have}; Fly cannot shrink it to {wanted.size_gb}"
        return Refusal(key, what, f"Set volume_gb to {volume.size_gb}.")
    return Refusal(
        key,
        f"{have}, more than database.extend.limit_gb, and Fly cannot shrink it",
        f"Set limit_gb to {volume.size_gb} or more.",
    )


def _ambiguous(desired: Desired, candidates: tuple[Volume, ...]) -> Refusal:
    ids = ", ".join(volume.id for volume in candidates)
    return Refusal(
        f"volume/{candidates[0].name}",
        f"several volumes could hold the data: {ids}",
        (
            f"Find out which does (`fly volumes list -a {desired.app}`) and remove the others: "
            "`fly volumes destroy ID`."
        ),
    )


def _unusable(environment: str, ours: Mapping[str, Machine]) -> Refusal:
    """Refuse to add a volume: a machine keeps the mounts that it was created with."""
    if any(machine.mounted_volume for machine in ours.values()):
        return Refusal(
            "volume/data",
            "the machine's volume is not listed by Fly, or has another name",
            "See `fly volumes list`, and restore it from a snapshot first.",
        )
    if any(machine.config is None for machine in ours.values()):
        return Refusal(
            "volume/data",
            "which volume the machine mounts is unknown while its host does not answer",
            WAIT,
        )
    if any(named_database(machine.config or {}) == "postgres" for machine in ours.values()):
        return Refusal(
            "volume/data",
            "the server's data is in PostgreSQL, and the file now asks for a volume",
            f"Move the data to a new volume: `{Command('migrate', environment, '--to', 'sqlite')}`.",
        )
    return Refusal(
        "volume/data",
        "the machine runs without a volume, and one cannot be added to it",
        "Move the data first, then remove the machine: `fly machine destroy`.",
    )


def _no_volume(desired: Desired, live: Live, ours: Mapping[str, Machine]) -> Iterator[PlanItem]:
    yield from kept_volume_notes(desired, ours)
    if any(m.mounted_volume and not is_moved(m.config) for m in ours.values()):
        yield Refusal(
            "volume/data",
            "the server keeps its data on a volume, and the file now asks for another database",
            "Set database.backend back to sqlite, or make a new environment for the new database.",
        )
        return
    kept = {machine.mounted_volume for machine in ours.values()}
    yield from _unused(volume for volume in live.volumes if volume.id not in kept)


def _unused(volumes: Iterable[Volume]) -> Iterator[PlanItem]:
    names = sorted(f"{v.id} ({v.name})" for v in volumes if not v.attached_machine_id)
    if names:
        yield f"The app has volumes that nothing uses and that cost money: {', '.join(names)}."
