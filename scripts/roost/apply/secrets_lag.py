"""Wait until the host of a machine sees the secrets that were just set.

A host can see new secrets later than the API that stored them. Until then it refuses to boot a
machine with them by 412, the same status as for a machine that changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from roost.errors import FlyPreconditionError, SecretsLagError
from roost.fly.models import Machine

LIMIT_S = 60.0
FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 5.0


async def sent_once_seen(
    send: Callable[[], Awaitable[Machine]],
    secrets_version: int | None,
    may_be_lag: Callable[[], Awaitable[bool]],
) -> Machine:
    """Send a machine's config, and try again while its host does not see the secrets.

    Args:
        send: creates or updates the machine.
        secrets_version: the version that the machine needs; None if no secrets were set, so that a
            refusal has another reason.
        may_be_lag: returns whether nothing else explains the refusal.

    Raises:
        FlyPreconditionError: the refusal has another reason.
        SecretsLagError: the host did not see the secrets within the limit.
    """
    ends, pause = anyio.current_time() + LIMIT_S, FIRST_PAUSE_S
    while True:
        try:
            return await send()
        except FlyPreconditionError as refusal:
            if secrets_version is None or not await may_be_lag():
                raise
            if anyio.current_time() > ends:
                raise lagging(refusal) from None
        await anyio.sleep(pause)
        pause = min(pause * 2, LAST_PAUSE_S)


def lagging(refusal: FlyPreconditionError) -> SecretsLagError:
    """Return the error for secrets that were set and that the host does not see."""
    return SecretsLagError(
        f"The secrets are set, and the machine's host did not see them within {LIMIT_S:.0f} s. {refusal.what}",
        where=refusal.where,
        advice="Run the same command again: it continues from there.",
    )
