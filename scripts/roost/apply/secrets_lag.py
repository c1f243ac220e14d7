"""Wait until Fly's hosts know the secrets that were just set.

A machine's host may see a batch of secrets later than the API that took it. It refuses a machine that
is to boot with them by 412 until then, the same status as for a machine that changed meanwhile.
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
    """Send what needs a version of the secrets, again while its host may not know it yet.

    Args:
        send: creates or updates the machine.
        secrets_version: that version; where it is None, a refusal is about something else.
        may_be_lag: says that nothing else explains the refusal.

    Raises:
        FlyPreconditionError: it is refused for something else.
        SecretsLagError: the host did not know it within the limit.
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
    """Return the error for secrets that are set and not seen."""
    return SecretsLagError(
        f"The secrets are set, and the machine's host did not know them within {LIMIT_S:.0f} s. {refusal.what}",
        where=refusal.where,
        advice="Run the same command again: it goes on from there.",
    )
