"""The config of the waker's machine.

Its program is in deploy/waker and reads the variables named here.
"""

from __future__ import annotations

from roost.environment.files import EnvironmentFile
from roost.environment.waker import NAME
from roost.plan.app_address import app_address
from roost.plan.desired import (
    ENVIRONMENT_KEY,
    PROCESS_GROUP,
    SECRETS_KEY,
    SLOT_KEY,
    VERSION_KEY,
    Json,
)
from roost.plan.machine_config import guest, secrets_mark

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
        "services": [_service()],
        # It has nothing to do but run: whatever ended it, it is started again.
        "restart": {"policy": "always"},
        "stop_config": {"signal": "SIGTERM", "timeout": "30s"},
        "metadata": {
            # With these two, flyctl lists and manages the machine as one of its own.
            "fly_platform_version": "v2",
            "fly_process_group": PROCESS_GROUP,
            ENVIRONMENT_KEY: file.name,
            SLOT_KEY: slot,
            # No server's version, so that no change of it counts as a migration of data.
            VERSION_KEY: NAME,
            SECRETS_KEY: secrets_mark(environment),
        },
    }


def _service() -> Json:
    """Return the service by which servers reach it; the proxy never stops it."""
    return {
        "protocol": "tcp",
        "internal_port": PORT,
        "autostart": True,
        "autostop": "off",
        "min_machines_running": 1,
        "ports": [{"port": 80, "handlers": ["http"]}],  # Flycast speaks plain HTTP
        "checks": [
            {
                "type": "http",
                "method": "GET",
                "path": "/",
                "interval": "15s",
                "timeout": "5s",
                "grace_period": "60s",
            }
        ],
    }
