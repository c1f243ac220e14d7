"""What must hold once an apply has gone on from where another one was ended."""

from __future__ import annotations

import time
from collections.abc import Iterator

from chaos.testbed import Ground
from roost.apply.executor import LEASE_TTL_S
from roost.plan.destroy import LAST_KEPT_DAYS
from roost.plan.live import Live
from roost.plan.ownership import slot_of
from roost.plan.releases import Verdict, current
from roost.plan.retained_volumes import kept_volumes


def faults(ground: Ground) -> tuple[str, ...]:
    """Name whatever is missing, doubled, held or untrue, compared with the file as it is."""
    live = ground.live()
    return (
        *(f"still to do: {step}" for step in ground.steps_left()),
        *doubled(ground, live),
        *(f"{held.machine}: a lease is held" for held in ground.leases()),
        *left_of_drill(ground),
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
    used = [*filter(None, (m.mounted_volume for m in live.machines)), *kept]
    if sorted(volumes) != sorted(used):
        yield f"volumes {volumes} are not those in use, or kept by a restore: {used}"
    kinds = sorted(ip.kind for ip in live.ips)
    if kinds != sorted(desired.ip_types):
        yield f"addresses {kinds}"


def untrue_record(ground: Ground, live: Live) -> Iterator[str]:
    """Return where the newest release record is not what is live and proved."""
    machines, release = ground.machines(live), current(ground.releases(live))
    if release is None:
        if ground.desired().machines:  # it goes with the last machine
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
        f"{held.machine}: a lease is held for too long"
        for held in ground.leases()
        if held.expires_at > latest
    )


def left_of_drill(ground: Ground) -> Iterator[str]:
    """Return whether anything of a drill is left."""
    if ground.daemon.client.get(f"/v1/apps/{ground.drill_app}").is_success:
        yield f"the app {ground.drill_app} is left"


def not_gone(ground: Ground) -> Iterator[str]:
    """Name whatever a destroy left, beside the empty app and its last snapshot; and what it should."""
    live = ground.live()
    if live.app is None:
        yield "the app is gone, and the last snapshot with it"
        return
    yield from (f"the machine {machine.name} is left" for machine in live.machines)
    yield from (f"the volume {volume.id} is left" for volume in live.volumes)
    yield from (f"the address {ip.ip} is left" for ip in live.ips)
    yield from (f"the secret {secret.name} is left" for secret in live.secrets)
    volume = ground.noted["volume"]
    if not any(s["retention_days"] == LAST_KEPT_DAYS for s in ground.snapshots(volume)):
        yield f"there is no last snapshot of the volume {volume}"
