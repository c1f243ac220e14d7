"""Compute the desired state of an app from its environment file, without any network."""

from __future__ import annotations

from roost.environment.files import EnvironmentFile, FlowUnit, WakerUnit
from roost.plan.desired import PROCESS_GROUP, Desired, DesiredMachine, Json
from roost.plan.flow_machine import flow_machine_config
from roost.plan.machine_config import machine_config, volume
from roost.plan.waker_machine import waker_machine_config


def desired_state(file: EnvironmentFile, image: str) -> Desired:
    """Return the desired state of an environment that runs this image."""
    environment = file.environment
    return Desired(
        environment=file.name,
        app=environment.app,
        organization=environment.organization,
        ip_types=("v6", "shared_v4") if environment.access.public else ("private_v6",),
        volume=None if file.beside else volume(environment),
        secrets=tuple(sorted(secret.name for secret in environment.secrets)),
        prune=environment.prune,
        machines=tuple(
            DesiredMachine(
                name=f"{PROCESS_GROUP}-{slot}",
                region=environment.region,
                config=_config(file, image, f"{PROCESS_GROUP}-{slot}"),
            )
            for slot in range(1, environment.scaling.count + 1)
        ),
        ignored=environment.drift.ignore,
        sources={secret.name: secret.source.description for secret in environment.secrets},
    )


def _config(file: EnvironmentFile, image: str, slot: str) -> Json:
    match file.beside:
        case FlowUnit() as flow:
            return flow_machine_config(file, flow, image, slot)
        case WakerUnit():
            return waker_machine_config(file, image, slot)
        case None:
            return machine_config(file, image, slot)
