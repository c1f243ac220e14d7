"""Change the verdict in a release's record after its apply: allow a failed one, or mark one proved."""

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
    """Return an environment's machines; empty if its app does not exist."""
    if await fly.get_app(app) is None:
        return ()
    return await fly.list_machines(app, {ENVIRONMENT_KEY: environment})


async def clear_release(
    fly: FlyClient, leases: HeldLeases, environment: str, number: int
) -> Release:
    """Allow a failed release to be tried again, on every machine that has its record.

    The machines' leases are held, so that no apply sends the release at the same time.

    Raises:
        UsageError: there is no such release.
        UnappliableError: the release did not fail.
        FlyError: Fly refused a change; running it again continues.
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
    """Mark the live release as good after all checks passed; None if it already is.

    A release whose secrets changed again is left alone: the checks did not see those.

    Raises:
        FlyError: Fly refused a change; the release stays unproved.
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
