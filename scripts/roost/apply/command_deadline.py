"""The time limit for a command that changes a server.

Each call, wait and check has its own limit. This one covers their sum, for example when Fly answers
each of many calls just before it times out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from roost.errors import OvertimeError
from roost.errors.command import Command

LIMIT_S = 3600.0
"""A slow snapshot, the gate twice, and the same on the way back take about half of it."""


@asynccontextmanager
async def in_time(environment: str) -> AsyncIterator[Callable[[float], None]]:
    """Cancel the body of a `with` block after `LIMIT_S` seconds; yield what gives it more of them.

    Take leases inside the block, so that they are released only after the change has stopped.

    Raises:
        OvertimeError: the time limit was reached.
    """
    with anyio.move_on_after(LIMIT_S) as scope:

        def more_time(seconds: float) -> None:
            scope.deadline += seconds

        yield more_time
    if scope.cancelled_caught:
        raise OvertimeError(
            f"The command did not finish within {LIMIT_S / 60:.0f} minutes and was stopped.",
            where=environment,
            advice=(
                f"The steps so far stay done. See what is left (`{Command('plan', environment)}`), "
                "and run the same command again: it continues from there."
            ),
        )
