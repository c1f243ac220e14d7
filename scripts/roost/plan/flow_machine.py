"""The config of a flow server's machine, from its entry in an environment file.

Its launcher is in deploy/flows and reads the variables named here.
"""

from __future__ import annotations

import json

from roost.environment.files import FlowUnit
from roost.environment.flow_server import FlowServer
from roost.environment.flow_units import flow_app
from roost.environment.load import EnvironmentFile
from roost.environment.model import Environment
from roost.plan.app_address import app_address
from roost.plan.desired import (
    ENVIRONMENT_KEY,
    FLOW_SERVER,
    IDLE_ACTION,
    PROCESS_GROUP,
    SECRETS_KEY,
    SLOT_KEY,
    VERSION_KEY,
    Json,
)
from roost.plan.image import version_in
from roost.plan.machine_config import guest, secrets_mark

PORT = 8080
CLIENT = "client "
"""Before the version of Prefect in the metadata of a flow server's machine."""
GRACE_S = 60
"""Seconds of a stop after its limit, in which Prefect cancels what still runs: up to 40, measured."""


def stop_s(entry: FlowServer) -> int:
    """Return how many seconds a flow server may take to stop: its limit, and what comes after it."""
    return int(entry.stop_limit.total_seconds()) + GRACE_S


def flow_machine_config(file: EnvironmentFile, flow: FlowUnit, image: str, slot: str) -> Json:
    """Return the whole config of a flow server's machine."""
    environment, entry = file.environment, flow.entry
    return {
        "image": image,
        "guest": guest(environment),
        "env": _variables(flow, environment),
        "services": [_service()],
        "restart": {"policy": "on-failure", "max_retries": 5},
        "stop_config": {"signal": "SIGTERM", "timeout": f"{stop_s(entry)}s"},
        "metadata": {
            # With these two, flyctl lists and manages the machine as one of its own.
            "fly_platform_version": "v2",
            "fly_process_group": PROCESS_GROUP,
            ENVIRONMENT_KEY: file.name,
            SLOT_KEY: slot,
            # No server's version, so that no change of it counts as a migration of data.
            VERSION_KEY: f"{CLIENT}{version_in(image)}",
            SECRETS_KEY: secrets_mark(environment),
        },
    }


def _variables(flow: FlowUnit, environment: Environment) -> dict[str, str]:
    entry = flow.entry
    return {
        **entry.environment,
        "DO_NOT_TRACK": "1",
        "FLY_PROCESS_GROUP": PROCESS_GROUP,
        "PRIMARY_REGION": environment.region,
        "PREFECT_API_URL": f"{app_address(flow.server.app, public=flow.server.access.public)}/api",
        IDLE_ACTION: "off" if entry.run == "always" else entry.autostop,
        "ROOST_IDLE_AFTER_S": str(int(entry.idle_after.total_seconds())),
        FLOW_SERVER: entry.name,
        "ROOST_FLOW_ADDRESS": app_address(flow_app(flow.server.app, entry.name), public=False),
        "ROOST_FLOW_COMMAND": json.dumps(list(entry.command)),
        "ROOST_FLOW_HOST": "0.0.0.0",  # noqa: S104 - the proxy comes from outside
        "ROOST_FLOW_PORT": str(PORT),
        "ROOST_STOP_LIMIT_S": str(int(entry.stop_limit.total_seconds())),
        "ROOST_MISSED": entry.missed,
    }


def _service() -> Json:
    """Return the service by which the Prefect server wakes the machine.

    The proxy never stops it, as it sees no load while flows run: the machine stops itself.
    """
    return {
        "protocol": "tcp",
        "internal_port": PORT,
        "autostart": True,
        "autostop": "off",
        "min_machines_running": 0,
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
