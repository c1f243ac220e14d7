"""The config of the waker's machine.

Its program is in deploy/waker and reads the variables named here.
"""

from __future__ import annotations

from roost.environment.files import EnvironmentFile
from roost.environment.waker import NAME
from roost.plan.app_address import app_address
from roost.plan.desired import (
    PROCESS_GROUP,
    Json,
)
from roost.plan.machine_config import guest, machine_metadata, private_service

PORT = 8080


def waker_machine_config(file: EnvironmentFile, image: str, slot: str) -> Json:
    """Return the whole config of the waker's machine."""
    environment = file.environment
    return {
        "image": image,
        "guest": guest(environment),
        "env": {
            "FLY_PROCESS_GROUP": PROCESS_GROUP,
            "PRIMARY_REGION": environment.region,  # the proxy keeps min_machines_running here
            "ROOST_WAKER_ADDRESS": app_address(environment.app, public=False),
            "ROOST_WAKER_HOST": "0.0.0.0",  # noqa: S104 - the proxy comes from outside
            "ROOST_WAKER_PORT": str(PORT),
        },
        "services": [private_service(PORT, min_machines_running=1)],
        # It has nothing to do but run: whatever ended it, it is started again.
        "restart": {"policy": "always"},
        "stop_config": {"signal": "SIGTERM", "timeout": "30s"},
        # No server's version, so that no change of it counts as a migration of data.
        "metadata": machine_metadata(file, slot, NAME),
    }
