"""Compute the desired state of an app from its environment file, without any network."""

from __future__ import annotations

from dataclasses import replace

from roost.environment.files import EnvironmentFile, FlowUnit, RedisUnit, WakerUnit
from roost.environment.redis import NAME
from roost.plan.desired import Desired, DesiredMachine, DesiredVolume, Json
from roost.plan.flow_machine import flow_machine_config
from roost.plan.machine_config import machine_config, volume
from roost.plan.redis_machine import redis_machine_config
from roost.plan.replicas import region_of, slots_of
from roost.plan.waker_machine import waker_machine_config


def desired_state(file: EnvironmentFile, image: str) -> Desired:
    """Return the desired state of an environment that runs this image."""
    environment = file.environment
    return Desired(
        environment=file.name,
        app=environment.app,
        organization=environment.organization,
        ip_types=_ip_types(file),
        volume=_volume(file),
        secrets=tuple(sorted(secret.name for secret in environment.secrets)),
        prune=environment.prune,
        machines=tuple(
            DesiredMachine(
                name=slot,
                region=region_of(slot, environment.region, environment.scaling.regions),
                config=_config(file, image, slot),
            )
            for slot in slots_of(environment.scaling.count, replicated=environment.replicated)
        ),
        regions=environment.scaling.regions,
        ignored=environment.drift.ignore,
        adopt="" if file.beside else environment.adopt or "",
        sources={secret.name: secret.source.description for secret in environment.secrets},
        objects=file.objects,
        object_sources={
            secret.name: secret.source.description for secret in environment.prefect.object_secrets
        },
    )


def _volume(file: EnvironmentFile) -> DesiredVolume | None:
    """Return the volume of a server with SQLite or of a Redis; nothing else beside a server has one."""
    found = volume(file.environment) if file.redis or file.beside is None else None
    return replace(found, section=NAME) if found and file.redis else found


def _ip_types(file: EnvironmentFile) -> tuple[str, ...]:
    """Return the addresses of an app; a Redis is reached by the names of its machines alone."""
    if file.redis:
        return ()
    return ("v6", "shared_v4") if file.environment.access.public else ("private_v6",)


def _config(file: EnvironmentFile, image: str, slot: str) -> Json:
    match file.beside:
        case FlowUnit() as flow:
            return flow_machine_config(file, flow, image, slot)
        case WakerUnit():
            return waker_machine_config(file, image, slot)
        case RedisUnit():
            return redis_machine_config(file, image, slot)
        case None:
            return machine_config(file, image, slot)
