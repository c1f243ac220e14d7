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
    FLOW_SERVER,
    IDLE_ACTION,
    PROCESS_GROUP,
    Json,
)
from roost.plan.image import version_in
from roost.plan.machine_config import guest, machine_metadata, private_service
from roost.plan.proxy_bypass import bypass

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
        # The proxy sees no load while flows run, so the machine stops itself.
        "services": [private_service(PORT, min_machines_running=0)],
        "restart": {"policy": "on-failure", "max_retries": 5},
        "stop_config": {"signal": "SIGTERM", "timeout": f"{stop_s(entry)}s"},
        # No server's version, so that no change of it counts as a migration of data.
        "metadata": machine_metadata(file, slot, f"{CLIENT}{version_in(image)}"),
    }


def _variables(flow: FlowUnit, environment: Environment) -> dict[str, str]:
    entry = flow.entry
    server = app_address(flow.server.app, public=flow.server.access.public)
    secrets = (secret.name for secret in environment.secrets)
    return {
        **entry.environment,
        **bypass(entry.environment, secrets, [server.partition("://")[2]]),
        "DO_NOT_TRACK": "1",
        "FLY_PROCESS_GROUP": PROCESS_GROUP,
        "PRIMARY_REGION": environment.region,
        "PREFECT_API_URL": f"{server}/api",
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
