"""The config of a Prefect server's machine, from its environment file.

Field names and forms are those of the Machines API, not of fly.toml.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from roost.environment.disk import Extend
from roost.environment.load import EnvironmentFile
from roost.environment.machine_memory import kind_and_cpus
from roost.environment.model import Environment, PostgresDatabase, Replicate, SqliteDatabase
from roost.environment.redis_unit import redis_app
from roost.environment.settings_rules import UI_SETTING
from roost.environment.window_rules import windows_of
from roost.environment.windows import write_windows
from roost.plan.app_address import app_address, internal_name
from roost.plan.desired import (
    DATABASE_URL_VARIABLE,
    ENVIRONMENT_KEY,
    EXTENSION_FIELDS,
    IDLE_ACTION,
    MOUNT_PATH,
    PROCESS_GROUP,
    REPLICA_ENDPOINT,
    REPLICA_URL,
    SECRETS_KEY,
    SLOT_KEY,
    STOCK_COMMAND,
    VERSION_KEY,
    VOLUME_KEY,
    WINDOWS,
    DesiredVolume,
    Json,
)
from roost.plan.image import is_stock_image
from roost.plan.proxy_bypass import bypass
from roost.plan.replicas import API, PROCESS, REDIS_ADDRESS, REDIS_URL_VARIABLE, config_for
from roost.plan.retention import retention_settings

REDIS_PORT = 6379


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
        "metadata": machine_metadata(file, slot, environment.prefect.version),
    }
    if is_stock_image(image):
        config["init"] = {"cmd": list(STOCK_COMMAND)}
    if isinstance(environment.database, SqliteDatabase):
        mount = {"name": environment.database.volume_name, "path": MOUNT_PATH}
        config["mounts"] = [{**mount, **extension(environment.database.extend)}]
        # A larger volume may be seen only after a restart. With the size in the metadata, that restart
        # is a step of the plan, and the next plan still has it if the apply is interrupted.
        config["metadata"][VOLUME_KEY] = str(environment.database.volume_gb)
    return config_for(slot, config, server_check(environment))


def machine_metadata(file: EnvironmentFile, slot: str, version: str) -> Json:
    """Return the metadata by which Roost and flyctl know a machine.

    Args:
        file: the environment, or what stands beside its server.
        slot: the machine's name, such as `app-1`.
        version: what runs on it. Only that of a server counts as a migration of data.
    """
    return {
        # With these two, flyctl lists and manages the machine as one of its own.
        "fly_platform_version": "v2",
        "fly_process_group": PROCESS_GROUP,
        ENVIRONMENT_KEY: file.name,
        SLOT_KEY: slot,
        VERSION_KEY: version,
        SECRETS_KEY: secrets_mark(file.environment),
    }


def private_service(port: int, *, min_machines_running: int) -> Json:
    """Return the service of a machine that only the private network reaches; the proxy never stops it."""
    return {
        "protocol": "tcp",
        "internal_port": port,
        "autostart": True,
        "autostop": "off",
        "min_machines_running": min_machines_running,
        "ports": [{"port": 80, "handlers": ["http"]}],  # Flycast speaks plain HTTP
        "checks": [health_check("/")],
    }


def health_check(path: str) -> Json:
    """Return Fly's check of a machine by a request."""
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "interval": "15s",
        "timeout": "5s",
        "grace_period": "60s",
    }


def server_check(environment: Environment) -> Json:
    """Return Fly's check of a Prefect server, as its file asks for it."""
    health = environment.health
    return {
        **health_check(health.path),
        "interval": _seconds(health.interval),
        "timeout": _seconds(health.timeout),
        "grace_period": _seconds(health.grace_period),
    }


def _seconds(duration: timedelta) -> str:
    """Return a duration in seconds alone: release records compare configs as text."""
    return f"{int(duration.total_seconds())}s"


def extension(extend: Extend | None) -> Json:
    """Return the fields of a mount that say when Fly extends its volume (fly.MachineMount)."""
    if extend is None:
        return {}
    values = (extend.at_percent, extend.add_gb, extend.limit_gb)
    return dict(zip(EXTENSION_FIELDS, values, strict=True))


def secrets_mark(environment: Environment) -> str:
    """Return a short hash of the declared secrets' names.

    If an apply is killed after it set secrets and before it restarted the machine, the machine has
    another hash, so the next plan restarts it.
    """
    names = "\n".join(sorted(secret.name for secret in environment.secrets))
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def guest(environment: Environment) -> Json:
    """Return the machine's size in the fields of the API."""
    kind, cpus = kind_and_cpus(environment.machine.size)
    return {
        "cpu_kind": kind,
        "cpus": cpus,
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
        "PREFECT_SERVER_API_PORT": str(environment.access.internal_port),
        "PREFECT_SERVER_UI_API_URL": "/api",
        IDLE_ACTION: "off" if scaling.min_machines_running else scaling.autostop,
        "ROOST_IDLE_AFTER_S": str(int(scaling.idle_after.total_seconds())),
    }
    if not environment.access.ui:
        variables[UI_SETTING] = "false"
    if scaling.windows:
        variables[WINDOWS] = write_windows(windows_of(environment))
    # A user may override these; nothing in Roost depends on them.
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    if isinstance(database, PostgresDatabase):
        variables[DATABASE_URL_VARIABLE] = database.url_secret
    elif database.replicate:
        variables |= replica_variables(database.replicate)
    own, secrets = environment.environment, (secret.name for secret in environment.secrets)
    fixed = {**variables, **waker_variables(environment), **redis_variables(environment)}
    return {**defaults, **own, **bypass(own, secrets), **fixed}


def replica_variables(replica: Replicate) -> dict[str, str]:
    """Return the variables for the replica's bucket; its keys reach the machine as secrets."""
    variables = {
        REPLICA_URL: replica.url,
        REPLICA_ENDPOINT: replica.endpoint,
        "ROOST_REPLICA_REGION": replica.region,
        "ROOST_REPLICA_EVERY_S": str(int(replica.sync_interval.total_seconds())),
    }
    return {name: value for name, value in variables.items() if value}


def waker_variables(environment: Environment) -> dict[str, str]:
    """Return the addresses of the waker and of the server, which announces itself; none without one."""
    if environment.waker is None:
        return {}
    return {
        "ROOST_WAKER": app_address(environment.waker.app, public=False),
        "ROOST_SERVER_ADDRESS": app_address(environment.app, public=environment.access.public),
    }


def redis_variables(environment: Environment) -> dict[str, str]:
    """Return what a machine of a replicated server runs, and where its Redis's address is; else none."""
    if not environment.replicated or environment.redis is None:
        return {}
    if environment.redis.url_secret:
        return {PROCESS: API, REDIS_URL_VARIABLE: environment.redis.url_secret}
    return {
        PROCESS: API,
        REDIS_ADDRESS: f"{internal_name(redis_app(environment.app))}:{REDIS_PORT}",
    }


def service(environment: Environment) -> Json:
    """Return the HTTP service: its ports, and when the proxy starts and stops the machine.

    The proxy does not know of windows, so a server that has any stops itself.
    """
    scaling = environment.scaling
    return {
        "protocol": "tcp",
        "internal_port": environment.access.internal_port,
        "autostart": True,
        "autostop": "off" if scaling.windows else scaling.autostop,
        "min_machines_running": scaling.min_machines_running,
        "concurrency": {
            "type": scaling.concurrency.type,
            "soft_limit": scaling.concurrency.soft_limit,
            "hard_limit": scaling.concurrency.hard_limit,
        },
        "ports": _ports(environment),
        "checks": [server_check(environment)],
    }


def _ports(environment: Environment) -> list[Json]:
    if not environment.access.public:
        return [{"port": 80, "handlers": ["http"]}]  # Flycast speaks plain HTTP
    return [
        {"port": 80, "handlers": ["http"], "force_https": True},
        {"port": 443, "handlers": ["tls", "http"]},
    ]


def volume(environment: Environment) -> DesiredVolume | None:
    """Return the volume of an environment with SQLite; None for Postgres."""
    database = environment.database
    if not isinstance(database, SqliteDatabase):
        return None
    return DesiredVolume(
        database.volume_name,
        environment.region,
        database.volume_gb,
        database.snapshot_retention_days,
        database.extend.limit_gb if database.extend else 0,
    )
