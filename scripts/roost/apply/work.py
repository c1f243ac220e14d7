"""What each change of a server uses: the API, leases, secret values and a progress callback."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from roost.fly.client import FlyClient
from roost.fly.leases import HeldLeases, Notice
from roost.fly.models import SecretInfo
from roost.plan.secret_fingerprints import SALT_BYTES, Mark, fingerprint
from roost.secret_text import SecretText

LEASE_TTL_S = 30
# Longer than LEASE_TTL_S, so that the lease of a killed apply expires while we wait.
LEASE_PATIENCE_S = 60


def make_mark(secret: SecretInfo, value: SecretText) -> Mark:
    """Return the mark of a secret that was set: Fly's digest and our fingerprint of the value."""
    return Mark(secret.digest, fingerprint(value, secrets.token_bytes(SALT_BYTES)))


@dataclass(frozen=True)
class Work:
    """What an apply uses to change a server.

    Args:
        fly: the API.
        leases: holds the leases of changed machines until the whole apply is done.
        secrets: the value of each secret that the plan sets, by name.
        notice: called with a line before each step, and while waiting for somebody's lease.
        mark: makes the mark of a secret that was set.
        app_created: awaited after the app is created, for what a machine needs and an app must
            exist for, such as an image in the app's registry.
        more_time: gives the command so many seconds more, for what may take long while it goes on.
    """

    fly: FlyClient
    leases: HeldLeases
    secrets: Mapping[str, SecretText]
    notice: Notice
    mark: Callable[[SecretInfo, SecretText], Mark] = make_mark
    app_created: Callable[[], Awaitable[None]] | None = None
    more_time: Callable[[float], None] = lambda _: None


def lease_holder(fly: FlyClient, app: str, notice: Notice, doing: str) -> HeldLeases:
    """Return the holder of one apply's leases; others who wait for a lease are shown `doing`."""
    return HeldLeases(fly, app, LEASE_TTL_S, doing, LEASE_PATIENCE_S, notice)
