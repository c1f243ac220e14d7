"""Allow a release that failed again: its record says so from then on."""

from __future__ import annotations

from roost.fly.client import FlyClient
from roost.fly.leases import HeldLeases
from roost.fly.models import Machine
from roost.plan.allow_retry import check_clearable
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.live import read_live
from roost.plan.releases import (
    Release,
    Verdict,
    current,
    record_patch,
    releases_on,
    secrets_digest,
)


async def environment_machines(fly: FlyClient, app: str, environment: str) -> tuple[Machine, ...]:
    """Return an environment's machines; none where there is no app."""
    if await fly.get_app(app) is None:
        return ()
    return await fly.list_machines(app, {ENVIRONMENT_KEY: environment})


async def clear_release(
    fly: FlyClient, leases: HeldLeases, environment: str, number: int
) -> Release:
    """Clear a failed release on every machine that remembers it.

    The machines' leases are held meanwhile, so that nobody is in the middle of sending it.

    Raises:
        UsageError: there is no such release.
        UnappliableError: it is not one that is refused.
        FlyError: Fly refused; clearing again goes on.
    """
    machines = await environment_machines(fly, leases.app, environment)
    check_clearable(environment, releases_on(machines), number)
    for machine in machines:
        await leases.hold(machine.id)
    machines = await environment_machines(fly, leases.app, environment)
    release = check_clearable(environment, releases_on(machines), number)
    cleared = release.with_verdict(Verdict.CLEARED, release.why)
    for machine in machines:
        if cleared.key in machine.metadata:
            values = record_patch(machine.metadata, cleared)
            await fly.patch_metadata(leases.app, machine.id, values)
    return cleared


async def mark_proved(fly: FlyClient, app: str, environment: str) -> Release | None:
    """Write that the live release is good, after every check passed; None where that is known.

    A release is left alone whose secrets were changed again meanwhile: those were not seen.

    Raises:
        FlyError: Fly refused; the release stays unproved.
    """
    live = await read_live(fly, app)
    machines = [m for m in live.machines if m.metadata.get(ENVIRONMENT_KEY) == environment]
    release = current(releases_on(machines))
    if release is None or release.verdict is not Verdict.UNPROVED:
        return None
    if release.secrets != secrets_digest(live.secrets):
        return None
    good = release.with_verdict(Verdict.GOOD, release.why)
    for machine in machines:
        if good.key in machine.metadata:
            await fly.patch_metadata(app, machine.id, record_patch(machine.metadata, good))
    return good
