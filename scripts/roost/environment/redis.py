"""The section `redis`: what several machines of one server share beside the database."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from roost.environment.fields import Machine, Name
from roost.environment.strict import Model

NAME = "redis"
"""Commands call a managed one ENVIRONMENT.redis, so no flow server has this name."""
PASSWORD = "REDIS_PASSWORD"  # noqa: S105 - the name of a managed one's secret, not the value
PASSWORD_GRACE_S = 900
"""Seconds for which a managed one accepts the password of before (roost_redis/passwords.py)."""
OF_MANAGED = frozenset({"machine", "volume_gb", "snapshot_retention_days"})
"""The fields that have no meaning for a Redis that runs somewhere else."""


class RedisMachine(Machine):
    """The size of the machine of a managed Redis."""

    memory_mb: Annotated[int, Field(ge=256, le=131072, multiple_of=256)] = 256
    """Memory in MB, in steps of 256; half of it is for data."""


class Redis(Model):
    """A Redis for this environment alone: one that Roost deploys, or one that runs somewhere else."""

    managed: bool = False
    """true: Roost deploys it beside the server, as the app APP-redis; needs the secret REDIS_PASSWORD."""
    url_secret: Name | None = None
    """Name of the secret with the address of one elsewhere, rediss://USER:PASSWORD@HOST:PORT/0."""
    machine: RedisMachine = RedisMachine()
    """The size of a managed one."""
    volume_gb: Annotated[int, Field(ge=1, le=500)] = 1
    """Size of a managed one's volume in GB; it can grow, never shrink."""
    snapshot_retention_days: Annotated[int, Field(ge=1, le=60)] = 5
    """How long Fly keeps the daily snapshots of that volume."""
