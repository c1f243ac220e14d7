"""What must hold once an apply has gone on from where another one was ended."""

from __future__ import annotations

import time
from collections.abc import Iterator

from chaos.ground import Ground
from roost.apply.executor import LEASE_TTL_S
from roost.plan.kept import kept_volumes
from roost.plan.live import Live
from roost.plan.ownership import mounted_volume, slot_of
from roost.plan.releases import Verdict, current


def faults(ground: Ground) -> tuple[str, ...]:
    """Name whatever is missing, doubled, held or untrue, compared with the file as it is."""
    live = ground.live()
    return (
        *(f"still to do: {step}" for step in ground.steps_left()),
        *doubled(ground, live),
        *(f"{m.name}: a lease is held" for m, _ in ground.leases(live)),
        *untrue_record(ground, live),
    )


def doubled(ground: Ground, live: Live) -> Iterator[str]:
    """Name what is there more often than the file asks for."""
    desired = ground.desired()
    slots = sorted(slot_of(machine) for machine in live.machines)
    if slots != sorted(machine.name for machine in desired.machines):
        yield f"machines {slots}"
    volumes = [volume.id for volume in live.volumes]
    kept = kept_volumes(live.machines)
    used = [*filter(None, map(mounted_volume, live.machines)), *kept]
    if sorted(volumes) != sorted(used):
        yield f"volumes {volumes} are not those in use, or kept by a restore: {used}"
    kinds = sorted(ip.kind for ip in live.ips)
    if kinds != sorted(desired.ip_types):
        yield f"addresses {kinds}"


def untrue_record(ground: Ground, live: Live) -> Iterator[str]:
    """Say where the newest release record is not what is live and proved."""
    machines, release = ground.machines(live), current(ground.releases(live))
    if release is None:
        yield "no release record"
        return
    if release.verdict is not Verdict.GOOD:
        yield f"release {release.number} is {release.verdict.value}"
    if release.machines != len(machines):
        yield f"release {release.number} has {release.machines} machines"
    for machine in machines:
        for part in ("image", "env"):
            if (machine.config or {}).get(part) != release.config.get(part):
                yield f"release {release.number} has another {part} than {slot_of(machine)}"


def long_leases(ground: Ground) -> tuple[str, ...]:
    """Name the leases that outlive whom they were given to by more than their time."""
    latest = time.time() + LEASE_TTL_S + 1
    return tuple(
        f"{machine.name}: a lease is held for too long"
        for machine, held in ground.leases(ground.live())
        if held["expires_at"] > latest
    )
