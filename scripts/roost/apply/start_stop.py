"""Start and stop a machine whose lease is held, from any state."""

from __future__ import annotations

import anyio

from roost.errors import FlyPreconditionError
from roost.fly.client import FlyClient
from roost.fly.models import Machine

LIMIT_S = 60
POLL_S = 0.5
SUSPENDED = frozenset({"suspending", "suspended"})
ON_THE_WAY = frozenset({"creating", "starting", "stopping", "restarting", "updating", "replacing"})
"""Passing states. Fly refuses a start from them with 412."""
AT_REST = frozenset({"created", "stopped", "suspended"})
MOVED_ON = 3
"""Attempts after a refusal whose cause has passed by the time the machine is read again."""


async def start(fly: FlyClient, app: str, machine: str, nonce: str) -> None:
    """Start or resume a machine; wait first while it is stopping or being replaced.

    Raises:
        FlyPreconditionError: it cannot be started from its state.
    """
    ends = anyio.current_time() + LIMIT_S
    settled = 0
    while True:
        try:
            return await fly.start_machine(app, machine, nonce)
        except FlyPreconditionError:
            now = await fly.get_machine(app, machine)
            if now is not None and now.state == "started":
                return None
            settled += now is not None and now.state in AT_REST
            waits = now is not None and now.state in ON_THE_WAY | AT_REST
            if not waits or settled > MOVED_ON or anyio.current_time() > ends:
                raise
        await anyio.sleep(POLL_S)


async def stop(fly: FlyClient, app: str, machine: Machine, nonce: str) -> None:
    """Stop a machine and wait until it is stopped; a suspended one loses its memory.

    Raises:
        FlyWaitTimeoutError: it did not stop.
    """
    await fly.stop_machine(app, machine.id, nonce)
    await fly.wait_machine(app, machine.id, "stopped", LIMIT_S, version=machine.instance_id)


async def stop_flushed(fly: FlyClient, app: str, machine: Machine, nonce: str) -> None:
    """Stop a machine after it flushed its data to the volume; a suspended one is resumed first.

    Raises:
        FlyPreconditionError: it cannot be started from its state.
        FlyWaitTimeoutError: it did not stop.
    """
    if machine.state in SUSPENDED:
        await start(fly, app, machine.id, nonce)
    await stop(fly, app, machine, nonce)
