"""What an apply works with: the API, the leases it holds, the secrets and whom it reports to."""

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
# Longer than a lease lives whose holder was killed.
LEASE_PATIENCE_S = 60


def make_mark(secret: SecretInfo, value: SecretText) -> Mark:
    """Make what is remembered of a value that Fly was given."""
    return Mark(secret.digest, fingerprint(value, secrets.token_bytes(SALT_BYTES)))


@dataclass(frozen=True)
class Work:
    """What an apply works with, and whom it tells.

    Args:
        fly: the API.
        leases: keeps the leases of touched machines until the whole apply is done.
        secrets: values for every name the plan sets.
        notice: told of each step before it begins, and of waiting for somebody else.
        mark: makes what is remembered of a value that was set.
        app_created: awaited after the app is created; what needs an app, and a machine needs, such
            as an image in the app's registry.
    """

    fly: FlyClient
    leases: HeldLeases
    secrets: Mapping[str, SecretText]
    notice: Notice
    mark: Callable[[SecretInfo, SecretText], Mark] = make_mark
    app_created: Callable[[], Awaitable[None]] | None = None


def lease_holder(fly: FlyClient, app: str, notice: Notice, doing: str) -> HeldLeases:
    """Return what holds the leases of one apply; `doing` is what others read who want them."""
    return HeldLeases(fly, app, LEASE_TTL_S, doing, LEASE_PATIENCE_S, notice)
