"""Apps with a Prefect server as flyctl makes them, as values."""

from __future__ import annotations

import copy
from typing import Any

from roost.environment.model import AUTH_SECRET
from roost.fly.models import App, IpAssignment, Machine, Organization, SecretInfo, Volume
from roost.plan.live import Live

Json = dict[str, Any]
APP, MACHINE, VOLUME = "acme-flows", "148e21ea7d6389", "vol_9"
STOCK = "prefecthq/prefect:3.8.8-python3.12"
PUBLIC = ("v6", "shared_v4")
CHECK: Json = {
    "type": "http",
    "method": "GET",
    "path": "/api/health",
    "interval": "30s",
    "timeout": "4s",
    "grace_period": "1m0s",
}
SERVICE: Json = {
    "protocol": "tcp",
    "internal_port": 4200,
    "autostop": True,
    "autostart": True,
    "min_machines_running": 0,
    "ports": [
        {"port": 80, "handlers": ["http"], "force_https": True},
        {"port": 443, "handlers": ["http", "tls"]},
    ],
    "concurrency": {"type": "requests", "soft_limit": 20, "hard_limit": 25},
    "checks": [CHECK],
    "force_instance_key": None,
}
HOME: Json = {"PREFECT_HOME": "/data", "PREFECT_SERVER_API_HOST": "0.0.0.0"}
POSTGRES_SECRET = "PREFECT_API_DATABASE_CONNECTION_URL"


def config(**changes: Any) -> Json:
    """Return the config of a server on a volume, with fields of it replaced; None removes one."""
    found: Json = {
        "image": STOCK,
        "env": {**HOME, "FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "iad"},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
        "init": {"cmd": ["prefect", "server", "start"]},
        "mounts": [{"volume": VOLUME, "path": "/data", "name": "prefect_data"}],
        "metadata": {"fly_platform_version": "v2", "fly_process_group": "app"},
        "services": [SERVICE],
    }
    merged = {**found, **changes}
    return copy.deepcopy({key: value for key, value in merged.items() if value is not None})


def machine(id: str = MACHINE, **fields: Any) -> Machine:  # noqa: A002 - as Fly calls it
    """Return a server's machine."""
    given = {"name": "quiet-moon-123", "state": "started", "region": "iad", "instance_id": "01A"}
    return Machine(**{"id": id, "config": config(), **given, **fields})


def app(
    *machines: Machine,
    secrets: tuple[str, ...] = (AUTH_SECRET,),
    ips: tuple[str, ...] = PUBLIC,
    volumes: tuple[Volume, ...] | None = None,
) -> Live:
    """Return an app with these machines; without any, one server on a volume."""
    volume = Volume(
        id=VOLUME,
        name="prefect_data",
        size_gb=3,
        region="iad",
        attached_machine_id=MACHINE,
        snapshot_retention=7,
    )
    return Live(
        App(name=APP, organization=Organization(slug="acme")),
        ips=tuple(IpAssignment(ip=f"of {kind}", type=kind) for kind in ips),
        volumes=(volume,) if volumes is None else volumes,
        secrets=tuple(SecretInfo(name=name, digest=f"d-{name}") for name in secrets),
        machines=machines or (machine(),),
    )
