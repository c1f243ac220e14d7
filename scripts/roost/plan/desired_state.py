"""Compute the desired state of an app from its environment file, without any network."""

from __future__ import annotations

from roost.environment.files import EnvironmentFile, FlowUnit, WakerUnit
from roost.plan.desired import Desired, DesiredMachine, Json
from roost.plan.flow_machine import flow_machine_config
from roost.plan.machine_config import machine_config, volume
from roost.plan.replicas import slots_of
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
                name=slot,
                region=environment.region,
                config=_config(file, image, slot),
            )
            for slot in slots_of(environment.scaling.count, replicated=environment.replicated)
        ),
        ignored=environment.drift.ignore,
        adopt="" if file.beside else environment.adopt or "",
        sources={secret.name: secret.source.description for secret in environment.secrets},
        objects=file.objects,
        object_sources={
            secret.name: secret.source.description for secret in environment.prefect.object_secrets
        },
    )


def _config(file: EnvironmentFile, image: str, slot: str) -> Json:
    match file.beside:
        case FlowUnit() as flow:
            return flow_machine_config(file, flow, image, slot)
        case WakerUnit():
            return waker_machine_config(file, image, slot)
        case None:
            return machine_config(file, image, slot)
