"""The invariants after an apply has resumed an interrupted one."""

from __future__ import annotations

import time
from collections.abc import Iterator

from chaos.testbed import Testbed
from roost.apply.work import LEASE_TTL_S
from roost.plan.backups import retained_volumes
from roost.plan.destroy import LAST_KEPT_DAYS
from roost.plan.live import Live
from roost.plan.ownership import slot_of
from roost.plan.releases import Verdict, current


def faults(testbed: Testbed) -> tuple[str, ...]:
    """Return what is missing, duplicated, leased or wrong, compared with the environment file."""
    live = testbed.live()
    return (
        *(f"still to do: {step}" for step in testbed.steps_left()),
        *doubled(testbed, live),
        *(f"{held.machine}: a lease is held" for held in testbed.leases()),
        *left_of_drill(testbed),
        *untrue_record(testbed, live),
    )


def doubled(testbed: Testbed, live: Live) -> Iterator[str]:
    """Return resources that exist more often than the file asks for."""
    desired = testbed.desired()
    slots = sorted(slot_of(machine) for machine in live.machines)
    if slots != sorted(machine.name for machine in desired.machines):
        yield f"machines {slots}"
    volumes = [volume.id for volume in live.volumes]
    kept = retained_volumes(live.machines)
    used = [*filter(None, (m.mounted_volume for m in live.machines)), *kept]
    if sorted(volumes) != sorted(used):
        yield f"volumes {volumes} are not those in use, or kept by a restore: {used}"
    kinds = sorted(ip.kind for ip in live.ips)
    if kinds != sorted(desired.ip_types):
        yield f"addresses {kinds}"


def untrue_record(testbed: Testbed, live: Live) -> Iterator[str]:
    """Return differences between the newest release record and the live, proved state."""
    machines, release = testbed.machines(live), current(testbed.releases(live))
    if release is None:
        if testbed.desired().machines:  # it goes with the last machine
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


def long_leases(testbed: Testbed) -> tuple[str, ...]:
    """Return the leases that outlive their command by more than their duration."""
    latest = time.time() + LEASE_TTL_S + 1
    return tuple(
        f"{held.machine}: a lease is held for too long"
        for held in testbed.leases()
        if held.expires_at > latest
    )


def left_of_drill(testbed: Testbed) -> Iterator[str]:
    """Return what is left of a drill."""
    if testbed.daemon.client.get(f"/v1/apps/{testbed.drill_app}").is_success:
        yield f"the app {testbed.drill_app} is left"


def not_gone(testbed: Testbed) -> Iterator[str]:
    """Return what a destroy left wrongly: only the empty app and its last snapshot may remain."""
    live = testbed.live()
    if live.app is None:
        yield "the app is gone, and the last snapshot with it"
        return
    yield from (f"the machine {machine.name} is left" for machine in live.machines)
    yield from (f"the volume {volume.id} is left" for volume in live.volumes)
    yield from (f"the address {ip.ip} is left" for ip in live.ips)
    yield from (f"the secret {secret.name} is left" for secret in live.secrets)
    volume = testbed.noted["volume"]
    if not any(s["retention_days"] == LAST_KEPT_DAYS for s in testbed.snapshots(volume)):
        yield f"there is no last snapshot of the volume {volume}"
