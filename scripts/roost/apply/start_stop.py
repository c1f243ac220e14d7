"""Start and stop a machine whose lease is held, from any state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import anyio

from roost.errors import FlyPreconditionError
from roost.fly.client import FlyClient
from roost.fly.models import Machine

Config = Mapping[str, Any]

LIMIT_S = 60
"""The longest change of a state that does not wait for a machine's processes to end, in seconds."""
STOP_LIMIT_S = 5.0
"""Fly's own limit for a stop where the machine's config names none (docs of `stop_config`)."""
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
POLL_S = 0.5
RUNNING = frozenset({"starting", "started", "restarting"})
SUSPENDED = frozenset({"suspending", "suspended"})
ON_THE_WAY = frozenset({"creating", "starting", "stopping", "restarting", "updating", "replacing"})
"""Passing states. Fly refuses a start from them with 412."""
AT_REST = frozenset({"created", "stopped", "suspended"})
MOVED_ON = 3
"""Attempts after a refusal whose cause has passed by the time the machine is read again."""


def limit_s(config: Config) -> float:
    """Return how long a machine of this config may take to start or to stop, in seconds.

    A stop waits for the machine's processes as long as its config allows: for a flow server several
    minutes, in which flow runs end.
    """
    stop_config = config.get("stop_config")
    given = stop_config.get("timeout") if isinstance(stop_config, Mapping) else None
    return LIMIT_S + (_seconds(given) if given is not None else STOP_LIMIT_S)


def _seconds(duration: Any) -> float:
    """Return the seconds of a duration as Fly writes it, `2m10s` or in nanoseconds; else its own limit."""
    if isinstance(duration, int):
        return duration / 1e9
    parts = DURATION.fullmatch(str(duration))
    if not parts or not any(parts.groups()):
        return STOP_LIMIT_S
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds


async def start(
    fly: FlyClient, app: str, machine: str, nonce: str, replaced: Config | None = None
) -> None:
    """Start or resume a machine; wait first while it is stopping or being replaced.

    Args:
        fly: the API.
        app: the app's name.
        machine: the machine's id.
        nonce: of its lease.
        replaced: the config before an update, whose processes may still be stopping.

    Raises:
        FlyPreconditionError: it cannot be started from its state.
    """
    began = anyio.current_time()
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
            configs = (replaced or {}, (now and now.config) or {})
            ends = began + max(map(limit_s, configs))
            if not waits or settled > MOVED_ON or anyio.current_time() > ends:
                raise
        await anyio.sleep(POLL_S)


async def stop(fly: FlyClient, app: str, machine: Machine, nonce: str) -> None:
    """Stop a machine and wait until it is stopped; a suspended one loses its memory.

    Raises:
        FlyWaitTimeoutError: it did not stop.
    """
    await fly.stop_machine(app, machine.id, nonce)
    limit = limit_s(machine.config or {})
    await fly.wait_machine(app, machine.id, "stopped", limit, version=machine.instance_id)


async def stop_flushed(fly: FlyClient, app: str, machine: Machine, nonce: str) -> None:
    """Stop a machine after it flushed its data to the volume; a suspended one is resumed first.

    Raises:
        FlyPreconditionError: it cannot be started from its state.
        FlyWaitTimeoutError: it did not stop.
    """
    if machine.state in SUSPENDED:
        await start(fly, app, machine.id, nonce)
    await stop(fly, app, machine, nonce)
