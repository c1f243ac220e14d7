"""Find the machines and volumes of an app that belong to the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping

from roost.fly.models import Machine, Volume
from roost.plan.desired import ENVIRONMENT_KEY, PROCESS_GROUP, SLOT_KEY, Desired, DesiredVolume
from roost.plan.live import Live
from roost.plan.replicas import SERVICES_GROUP
from roost.plan.steps import Json

# A machine from a restore also has its release's number, as names are unique.
_SLOT_NAME = re.compile(
    rf"((?:{PROCESS_GROUP}|{SERVICES_GROUP})-(\d{{1,9}}))(?:-r\d{{1,9}})?", re.ASCII
)

ADOPTED_SLOT = f"{PROCESS_GROUP}-1"
"""The slot of a machine that is adopted: it becomes the only one."""


def is_ours(machine: Machine, desired: Desired) -> bool:
    """Return whether a machine belongs to this environment, or the next apply adopts it.

    A machine whose host does not answer may have no metadata. Then its name decides: treated as a
    foreign machine, it would get a second one beside it.
    """
    if is_named(machine, desired):
        return True
    if machine.config is None and not machine.metadata:
        return _SLOT_NAME.fullmatch(machine.name) is not None
    return machine.metadata.get(ENVIRONMENT_KEY) == desired.environment


def is_named(machine: Machine, desired: Desired) -> bool:
    """Return whether the file names a machine without marks as the server's, adopted yet or not.

    While its host does not answer, an adopted machine has no marks either.
    """
    return machine.id == desired.adopt and ENVIRONMENT_KEY not in machine.metadata


def is_adopted(machine: Machine, desired: Desired) -> bool:
    """Return whether the next apply adopts a machine: it is named, and known to have no marks yet."""
    return machine.config is not None and is_named(machine, desired)


def our_machines(desired: Desired, live: Live) -> dict[str, Machine]:
    """Return our machines by slot; of two in a slot, the one with data, then the lower id."""
    found = [machine for machine in live.machines if is_ours(machine, desired)]
    best_last = sorted(found, key=lambda m: (not m.mounted_volume, m.id), reverse=True)
    return {
        ADOPTED_SLOT if is_named(machine, desired) else slot_of(machine): machine
        for machine in best_last
    }


def slot_of(machine: Machine) -> str:
    """Return the slot of one of our machines: its stable name."""
    match = _SLOT_NAME.fullmatch(machine.name)
    return machine.metadata.get(SLOT_KEY) or (match[1] if match else machine.name)


def slot_number(slot: str) -> int:
    """Return the number of a slot, for sorting: `app-10` comes after `app-9`."""
    match = _SLOT_NAME.fullmatch(slot)
    return int(match[2]) if match else 0


def with_volume(config: Json, volume: str) -> Json:
    """Return a machine's config with the id of the volume in its mount."""
    if not volume or "mounts" not in config:
        return config
    return {**config, "mounts": [{**config["mounts"][0], "volume": volume}]}


def find_volume(wanted: DesiredVolume, live: Live, ours: Mapping[str, Machine]) -> Volume | None:
    """Return the environment's volume; None if there is none, or several could be it."""
    candidates = candidate_volumes(wanted, live, ours)
    return candidates[0] if len(candidates) == 1 else None


def candidate_volumes(
    wanted: DesiredVolume, live: Live, ours: Mapping[str, Machine]
) -> tuple[Volume, ...]:
    """Return the volume in use; without a machine, those that an interrupted apply may have left."""
    ids = {machine.id for machine in ours.values()}
    mounted = {machine.mounted_volume for machine in ours.values()}
    named = sorted((v for v in live.volumes if v.name == wanted.name), key=lambda v: v.id)
    used = tuple(v for v in named if v.id in mounted or v.attached_machine_id in ids)
    if used or ours:
        return used
    # A volume attached to a machine that is being destroyed counts as free, and holds the data.
    there = {machine.id for machine in live.machines}
    free = tuple(v for v in named if v.attached_machine_id not in there)
    return tuple(v for v in free if v.region in ("", wanted.region)) or free
