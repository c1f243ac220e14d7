"""The config of the machine of a Redis that Roost deploys.

Its program is in deploy/managed_redis and reads the variables named here.
"""

from __future__ import annotations

from roost.environment.files import EnvironmentFile
from roost.environment.redis import NAME
from roost.plan.desired import (
    MOUNT_PATH,
    PROCESS_GROUP,
    REDIS_DATA,
    VOLUME_KEY,
    VOLUME_NAME,
    Json,
)
from roost.plan.machine_config import guest, health_check, machine_metadata, volume
from roost.plan.replicas import HEALTH_CHECK

PORT = 8080
"""Where the program answers Fly's health checks; no proxy sends it requests."""


def redis_machine_config(file: EnvironmentFile, image: str, slot: str) -> Json:
    """Return the whole config of the machine of a Redis."""
    environment = file.environment
    kept = volume(environment)
    assert kept is not None  # noqa: S101 - `redis_environment` names one
    return {
        "image": image,
        "guest": guest(environment),
        "env": {
            "FLY_PROCESS_GROUP": PROCESS_GROUP,
            "PRIMARY_REGION": environment.region,
            "ROOST_HEALTH_HOST": "0.0.0.0",  # noqa: S104 - Fly's checks come from outside
            "ROOST_HEALTH_PORT": str(PORT),
            REDIS_DATA: MOUNT_PATH,
            # The names of Fly's private network have IPv6 addresses alone.
            "ROOST_REDIS_LISTEN": "::",
            # The rest is for the copy of changed pages while the file is rewritten.
            "ROOST_REDIS_MAX_MB": str(environment.machine.memory_mb // 2),
        },
        "checks": {HEALTH_CHECK: {"port": PORT, **health_check("/")}},
        "mounts": [{"name": VOLUME_NAME, "path": MOUNT_PATH}],
        # It has nothing to do but run: whatever ended it, it is started again.
        "restart": {"policy": "always"},
        "stop_config": {"signal": "SIGTERM", "timeout": "60s"},
        # No server's version, so that no change of it counts as a migration of data. For the size of the
        # volume see `machine_config`.
        "metadata": {**machine_metadata(file, slot, NAME), VOLUME_KEY: str(kept.size_gb)},
    }
