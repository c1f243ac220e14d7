"""A snapshot before data is at stake, and waited for."""

from __future__ import annotations

import anyio

from roost.errors import SnapshotError
from roost.fly.client import FlyClient

LIMIT_S = 600
POLL_S = 1.0
DONE = "created"


async def take_snapshot(fly: FlyClient, app: str, volume: str, *, poll_s: float = POLL_S) -> str:
    """Take a snapshot of a volume and give its id once it is whole.

    Fly's answer names none (https://docs.machines.dev), so it is the one that was not there.

    Raises:
        SnapshotError: it was not whole within the limit.
        FlyError: Fly refused.
    """
    before = {snapshot.id for snapshot in await fly.list_snapshots(app, volume)}
    await fly.create_snapshot(app, volume)
    with anyio.move_on_after(LIMIT_S):
        while True:
            for snapshot in await fly.list_snapshots(app, volume):
                if snapshot.id not in before and snapshot.status == DONE:
                    return snapshot.id
            await anyio.sleep(poll_s)
    raise SnapshotError(
        f"The snapshot of the volume {volume} was not whole within {LIMIT_S} s.",
        where=app,
        advice="Nothing was changed. Look at `fly volumes snapshots list` and run it again.",
    )
