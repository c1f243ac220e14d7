"""The Redis that Roost deploys for a replicated server, in the form of an environment of its own.

It is planned, applied, proved and rolled back as a Prefect server is, by the same code: it is an app
with one machine and a volume. `file.redis` says that it is one.
"""

from __future__ import annotations

from roost.environment.files import EnvironmentFile, RedisUnit
from roost.environment.flow_units import SEPARATOR
from roost.environment.model import (
    Access,
    Drift,
    Environment,
    Prefect,
    Scaling,
    SqliteDatabase,
)
from roost.environment.redis import NAME, PASSWORD, Redis


def redis_app(app: str) -> str:
    """Return the name of the app of a server's Redis."""
    return f"{app}-{NAME}"


def redis_units(file: EnvironmentFile) -> tuple[EnvironmentFile, ...]:
    """Return the Redis that Roost deploys for an environment, if it does."""
    redis = file.environment.redis
    if file.beside is not None or redis is None or not redis.managed:
        return ()
    derived = redis_environment(file.environment, redis)
    name = f"{file.name}{SEPARATOR}{NAME}"
    return (EnvironmentFile(name, file.path, derived, RedisUnit(redis, file.environment)),)


def redis_environment(server: Environment, redis: Redis) -> Environment:
    """Return what the plan of the Redis's app needs, in the fields of an environment.

    The version of Prefect is not used. Of the database, the volume is.
    """
    return Environment(
        app=redis_app(server.app),
        organization=server.organization,
        region=server.region,
        protected=server.protected,
        prune=server.prune,
        prefect=Prefect(version=server.prefect.version),
        machine=redis.machine,
        scaling=Scaling(min_machines_running=1, autostop="off"),
        database=SqliteDatabase(
            backend="sqlite",
            volume_gb=redis.volume_gb,
            snapshot_retention_days=redis.snapshot_retention_days,
        ),
        access=Access(public=False, auth="none"),
        drift=Drift(heal=server.drift.heal),
        secrets=tuple(secret for secret in server.secrets if secret.name == PASSWORD),
        redis=redis,  # by which the form of its password is known
    )
