"""A release whose secrets were set in sleep, and what was seen of it since it woke."""

from __future__ import annotations

from roost.fly.client import FlyClient
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
