"""The longest that a command may change things: whatever keeps it waiting, it ends, and says so.

Every call, wait and check has a limit of its own; this one is for all of them together, such as a
Fly that answers each of many calls at the last moment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from roost.errors import OvertimeError

LIMIT_S = 3600.0
"""A slow snapshot, the gate twice, and the same on the way back take about half of it."""


@asynccontextmanager
async def in_time(environment: str) -> AsyncIterator[None]:
    """Stop what is done within it when its time is up; leases are given back all the same.

    Leases must be taken within it: who stops in the middle must not give them back before.

    Raises:
        OvertimeError: it was stopped.
    """
    with anyio.move_on_after(LIMIT_S) as scope:
        yield
    if scope.cancelled_caught:
        raise OvertimeError(
            f"It was not done within {LIMIT_S / 60:.0f} minutes, and was stopped.",
            where=environment,
            advice=(
                "What was done stays done. See what is left (`roost plan "
                f"{environment}`), and run the same command again: it goes on from there."
            ),
        )
