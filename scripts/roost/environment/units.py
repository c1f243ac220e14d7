"""The units of an environment: its own server, and what stands beside it, each an app of its own.

Every unit has the form of an environment, so that one code plans, applies, proves and removes them all.
"""

from __future__ import annotations

from roost.environment.files import EnvironmentFile
from roost.environment.flow_units import flow_units
from roost.environment.redis_unit import redis_units
from roost.environment.waker_unit import waker_units


def beside(file: EnvironmentFile) -> tuple[EnvironmentFile, ...]:
    """Return what stands beside an environment's own server: its flow servers, its waker, its Redis."""
    return (*flow_units(file), *waker_units(file), *redis_units(file))


def units(file: EnvironmentFile) -> tuple[EnvironmentFile, ...]:
    """Return every unit of an environment, in the order in which reports show them."""
    return (file, *beside(file))


def to_apply(file: EnvironmentFile) -> tuple[EnvironmentFile, ...]:
    """Return every unit of an environment, in the order in which they are applied.

    Who is needed comes first: servers announce themselves to the waker and wait for their Redis, and
    flow servers work for the server.
    """
    return (*waker_units(file), *redis_units(file), file, *flow_units(file))
