"""Compute the desired state of an app from its environment file, without any network.

Field names and forms are those of the Machines API, not of fly.toml.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roost.environment.disk import Extend
from roost.environment.load import EnvironmentFile
from roost.environment.model import (
    Environment,
    Ignored,
    PostgresDatabase,
    Replicate,
    SqliteDatabase,
)
from roost.plan.image import is_stock_image
from roost.plan.retention import retention_settings

Json = dict[str, Any]

VOLUME_NAME = "data"
MOUNT_PATH = "/data"
INTERNAL_PORT = 4200
PROCESS_GROUP = "app"
STOCK_COMMAND = ("prefect", "server", "start", "--host", "0.0.0.0")  # noqa: S104 - see the environment
"""The command for Prefect's own image, which would start a shell and exit."""
# Metadata keys that say which machines are ours, and what they run.
ENVIRONMENT_KEY = "roost_environment"
SLOT_KEY = "roost_slot"
VERSION_KEY = "roost_prefect_version"
SECRETS_KEY = "roost_secrets"
VOLUME_KEY = "roost_volume_gb"
OVERRIDE_KEY = "roost_override"
REPLICA_URL = "ROOST_REPLICA_URL"
REPLICA_ENDPOINT = "ROOST_REPLICA_ENDPOINT"
IDLE_ACTION = "ROOST_IDLE_ACTION"
EXTENSION_FIELDS = ("extend_threshold_percent", "add_size_gb", "size_gb_limit")
LIMIT_FIELD = EXTENSION_FIELDS[-1]
DATABASE_URL_VARIABLE = "ROOST_DATABASE_URL_VARIABLE"
# The name of each `autostop` value, by the form in which Fly returns it; absent means off.
AUTOSTOPS = {None: "off", False: "off", True: "stop", "stop": "stop", "suspend": "suspend"}


@dataclass(frozen=True)
class DesiredVolume:
    """The one volume an environment may have."""

    name: str
    region: str
    size_gb: int
    snapshot_retention: int
    limit_gb: int = 0
    """The size to which Fly may extend it; 0 if it may not."""


@dataclass(frozen=True)
class DesiredMachine:
    """One machine, by its stable name; mounts name their volume, not its id.

    Args:
        name: its slot.
        region: where it runs.
        config: the config that it is sent.
        theirs: variables in the config that somebody else set and the file does not name. They
            may be passwords.
    """

    name: str
    region: str
    config: Json
    theirs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ValueCheck:
    """The fingerprints that the available values match, and those that they do not.

    The key is the fingerprint and not the secret's name, so that a result does not outlive the value
    it is about.
    """

    changed: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Desired:
    """The desired state of an environment."""

    environment: str
    app: str
    organization: str
    ip_types: tuple[str, ...]
    volume: DesiredVolume | None
    secrets: tuple[str, ...]
    prune: bool
    machines: tuple[DesiredMachine, ...]
    ignored: tuple[Ignored, ...] = ()
    """Fields left to somebody else; `machines` and `volume` then have the live values in them."""
    back: bool = False
    """Whether it is a rollback, which may bring an older Prefect."""
    values: ValueCheck = field(default=ValueCheck(), repr=False)
    """How the available values compare with those that were set."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The source of each secret's value, by the secret's name."""

    @property
    def always_on(self) -> int:
        """How many machines must be running at all times."""
        return always_on([machine.config for machine in self.machines])


def always_on(configs: Sequence[Json | None]) -> int:
    """Return how many machines never sleep: all without autostop, else the proxy's minimum."""
    services = [service_of(config or {}) for config in configs]
    if any(AUTOSTOPS.get(service.get("autostop"), "off") == "off" for service in services):
        return len(services)
    least = max((int(service.get("min_machines_running") or 0) for service in services), default=0)
    return min(least, len(services))


def service_of(config: Json) -> Json:
    """Return the first service of a machine's config; an empty one if it has none."""
    return next(iter(config.get("services") or ()), {})


def idle_action(service: Json) -> str:
    """Return what an idle server does by itself; `off` if any machine has to stay up."""
    if service.get("min_machines_running"):
        return "off"
    return AUTOSTOPS.get(service.get("autostop"), "off")


def desired_state(file: EnvironmentFile, image: str) -> Desired:
    """Return the desired state of an environment that runs this image."""
    environment = file.environment
    return Desired(
        environment=file.name,
        app=environment.app,
        organization=environment.organization,
        ip_types=("v6", "shared_v4") if environment.access.public else ("private_v6",),
        volume=_volume(environment),
        secrets=tuple(sorted(secret.name for secret in environment.secrets)),
        prune=environment.prune,
        machines=tuple(
            DesiredMachine(
                name=f"{PROCESS_GROUP}-{slot}",
                region=environment.region,
                config=machine_config(file, image, f"{PROCESS_GROUP}-{slot}"),
            )
            for slot in range(1, environment.scaling.count + 1)
        ),
        ignored=environment.drift.ignore,
        sources={secret.name: secret.source.description for secret in environment.secrets},
    )


def machine_config(file: EnvironmentFile, image: str, slot: str) -> Json:
    """Return the whole config of one machine."""
    environment = file.environment
    config: Json = {
        "image": image,
        "guest": guest(environment),
        "env": environment_variables(environment),
        "services": [service(environment)],
        "restart": {"policy": "on-failure", "max_retries": 5},
        "stop_config": {"signal": "SIGTERM", "timeout": "20s"},
        "metadata": {
            # With these two, flyctl lists and manages the machine as one of its own.
            "fly_platform_version": "v2",
            "fly_process_group": PROCESS_GROUP,
            ENVIRONMENT_KEY: file.name,
            SLOT_KEY: slot,
            VERSION_KEY: environment.prefect.version,
            SECRETS_KEY: secrets_mark(environment),
        },
    }
    if is_stock_image(image):
        config["init"] = {"cmd": list(STOCK_COMMAND)}
    if isinstance(environment.database, SqliteDatabase):
        mount = {"name": VOLUME_NAME, "path": MOUNT_PATH}
        config["mounts"] = [{**mount, **extension(environment.database.extend)}]
        # A larger volume may be seen only after a restart. With the size in the metadata, that restart
        # is a step of the plan, and the next plan still has it if the apply is interrupted.
        config["metadata"][VOLUME_KEY] = str(environment.database.volume_gb)
    return config


def extension(extend: Extend | None) -> Json:
    """Return the fields of a mount that say when Fly extends its volume (fly.MachineMount)."""
    if extend is None:
        return {}
    values = (extend.at_percent, extend.add_gb, extend.limit_gb)
    return dict(zip(EXTENSION_FIELDS, values, strict=True))


def named_database(config: Json) -> str:
    """Return the database backend of a machine's config: `postgres`, `sqlite`, or empty."""
    if (config.get("env") or {}).get(DATABASE_URL_VARIABLE):
        return "postgres"
    return "sqlite" if config.get("mounts") else ""


def secrets_mark(environment: Environment) -> str:
    """Return a short hash of the declared secrets' names.

    If an apply is killed after it set secrets and before it restarted the machine, the machine has
    another hash, so the next plan restarts it.
    """
    names = "\n".join(sorted(secret.name for secret in environment.secrets))
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def guest(environment: Environment) -> Json:
    """Return the machine's size in the fields of the API."""
    kind, _, count = environment.machine.size.partition("-")
    return {
        "cpu_kind": kind,
        "cpus": int(count.removeprefix("cpu-").removesuffix("x")),
        "memory_mb": environment.machine.memory_mb,
    }


def environment_variables(environment: Environment) -> dict[str, str]:
    """Return the server's environment variables: Prefect's settings, and those of the launcher."""
    scaling, database = environment.scaling, environment.database
    sqlite = isinstance(database, SqliteDatabase)
    variables = {
        "FLY_PROCESS_GROUP": PROCESS_GROUP,
        "PRIMARY_REGION": environment.region,  # the proxy keeps min_machines_running here
        **environment.prefect.settings,
        **retention_settings(database.retention),
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": MOUNT_PATH if sqlite else "/tmp/prefect",  # noqa: S108 - the machine's own
        "PREFECT_SERVER_API_HOST": "0.0.0.0",  # noqa: S104 - the proxy comes from outside
        "PREFECT_SERVER_API_PORT": str(INTERNAL_PORT),
        "PREFECT_SERVER_UI_API_URL": "/api",
        IDLE_ACTION: idle_action(service(environment)),
        "ROOST_IDLE_AFTER_S": str(int(scaling.idle_after.total_seconds())),
    }
    # A user may override these; nothing in Roost depends on them.
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    if isinstance(database, PostgresDatabase):
        variables[DATABASE_URL_VARIABLE] = database.url_secret
    elif database.replicate:
        variables |= replica_variables(database.replicate)
    return {**defaults, **variables}


def replica_variables(replica: Replicate) -> dict[str, str]:
    """Return the variables for the replica's bucket; its keys reach the machine as secrets."""
    variables = {
        REPLICA_URL: replica.url,
        REPLICA_ENDPOINT: replica.endpoint,
        "ROOST_REPLICA_REGION": replica.region,
        "ROOST_REPLICA_EVERY_S": str(int(replica.sync_interval.total_seconds())),
    }
    return {name: value for name, value in variables.items() if value}


def service(environment: Environment) -> Json:
    """Return the HTTP service: its ports, and when the proxy starts and stops the machine."""
    scaling = environment.scaling
    return {
        "protocol": "tcp",
        "internal_port": INTERNAL_PORT,
        "autostart": True,
        "autostop": scaling.autostop,
        "min_machines_running": scaling.min_machines_running,
        "concurrency": {
            "type": scaling.concurrency.type,
            "soft_limit": scaling.concurrency.soft_limit,
            "hard_limit": scaling.concurrency.hard_limit,
        },
        "ports": _ports(environment),
        "checks": [
            {
                "type": "http",
                "method": "GET",
                "path": "/api/health",
                "interval": "15s",
                "timeout": "5s",
                "grace_period": "60s",
            }
        ],
    }


def _ports(environment: Environment) -> list[Json]:
    if not environment.access.public:
        return [{"port": 80, "handlers": ["http"]}]  # Flycast speaks plain HTTP
    return [
        {"port": 80, "handlers": ["http"], "force_https": True},
        {"port": 443, "handlers": ["tls", "http"]},
    ]


def _volume(environment: Environment) -> DesiredVolume | None:
    database = environment.database
    if not isinstance(database, SqliteDatabase):
        return None
    return DesiredVolume(
        VOLUME_NAME,
        environment.region,
        database.volume_gb,
        database.snapshot_retention_days,
        database.extend.limit_gb if database.extend else 0,
    )
