"""Wait for Fly's own checks of a machine that no proxy sends requests to."""

from __future__ import annotations

import anyio

from roost.fly.client import FlyClient
from roost.prefect.probe import Server

POLL_S = 0.5


async def check_passing(fly: FlyClient, app: str, machine: str, config: str, server: Server) -> str:
    """Wait until a machine runs with a config, and each of Fly's checks of it passes."""
    server.waiting.last = "Fly has not started it"
    while True:
        found = await fly.get_machine(app, machine)
        if found and found.instance_id == config and found.state == "started":
            failing = [check for check in found.checks if check.status != "passing"]
            if found.checks and not failing:
                return "Fly's check passes"
            server.waiting.last = "its health check does not pass"
            if failing:
                server.waiting.last += f": {server.quote(failing[0].output)}"
        await anyio.sleep(POLL_S)
