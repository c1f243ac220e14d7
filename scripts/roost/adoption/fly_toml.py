"""Write an environment as the fly.toml that describes the same machine to flyctl.

Field names are those of https://fly.io/docs/reference/configuration/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from roost.environment.load import EnvironmentFile
from roost.environment.model import SqliteDatabase
from roost.environment.window_rules import windows_of
from roost.environment.windows import write_windows
from roost.plan.desired import MOUNT_PATH, PROCESS_GROUP, STOCK_COMMAND, Json, service_of
from roost.plan.image import is_our_image, is_stock_image
from roost.plan.machine_config import machine_config

# What flyctl sets itself from the rest of the file.
_FLYCTL_SETS = frozenset({"FLY_PROCESS_GROUP", "PRIMARY_REGION"})


def fly_toml(file: EnvironmentFile, image: str) -> str:
    """Return the text of the fly.toml of an environment that runs this image."""
    environment = file.environment
    config = machine_config(file, image, f"{PROCESS_GROUP}-1")
    env = {name: value for name, value in config["env"].items() if name not in _FLYCTL_SETS}
    lines = [
        f"# Made from the environment {file.name}. `fly deploy` would replace what Roost manages.",
        *_comments(file, image),
        *_pairs({"app": environment.app, "primary_region": environment.region}),
        *_pairs({"kill_signal": config["stop_config"]["signal"]}),
        *_pairs({"kill_timeout": config["stop_config"]["timeout"]}),
        *_table("build", {"image": image}),
        *_table("env", env),
    ]
    if is_stock_image(image):
        lines += _table("processes", {PROCESS_GROUP: " ".join(STOCK_COMMAND)})
    lines += _service(service_of(config), public=environment.access.public)
    if isinstance(environment.database, SqliteDatabase):
        lines += _mount(environment.database)
    guest = config["guest"]
    size = {"size": environment.machine.size, "memory": f"{guest['memory_mb']}mb"}
    lines += _table("vm", size, array=True)
    restart = config["restart"]
    lines += _table(
        "restart", {"policy": restart["policy"], "retries": restart["max_retries"]}, array=True
    )
    return "\n".join(lines) + "\n"


def _service(service: Json, *, public: bool) -> Iterator[str]:
    [check] = service["checks"]
    yield from _table(
        "http_service",
        {
            "internal_port": service["internal_port"],
            "force_https": public,
            "auto_stop_machines": service["autostop"],
            "auto_start_machines": service["autostart"],
            "min_machines_running": service["min_machines_running"],
            "processes": [PROCESS_GROUP],
        },
    )
    yield from _table("http_service.concurrency", service["concurrency"], indent="  ")
    fields = ("grace_period", "interval", "method", "timeout", "path")
    yield from _table(
        "http_service.checks", {name: check[name] for name in fields}, array=True, indent="  "
    )


def _mount(database: SqliteDatabase) -> Iterator[str]:
    fields: Json = {
        "source": database.volume_name,
        "destination": MOUNT_PATH,
        "initial_size": f"{database.volume_gb}gb",
        "snapshot_retention": database.snapshot_retention_days,
    }
    if extend := database.extend:
        fields |= {
            "auto_extend_size_threshold": extend.at_percent,
            "auto_extend_size_increment": f"{extend.add_gb}GB",
            "auto_extend_size_limit": f"{extend.limit_gb}GB",
        }
    yield from _table("mounts", fields, array=True)


def _comments(file: EnvironmentFile, image: str) -> Iterator[str]:
    """Yield a comment for each thing that fly.toml cannot say."""
    environment = file.environment
    scaling = environment.scaling
    yield f"# It cannot say: the organization, which is {environment.organization}"
    addresses = "v6 and shared v4" if environment.access.public else "private v6 (Flycast)"
    yield f"# - the app's addresses: {addresses}"
    yield f"# - the number of machines: {scaling.count} (fly scale count {scaling.count})"
    if environment.secrets:
        names = ", ".join(secret.name for secret in environment.secrets)
        yield f"# - secrets, which `fly secrets set` sets: {names}"
    if environment.replicated:
        yield "# - topology replicated: this is the machine for the API, and not that of the services"
    if scaling.windows:
        yield f"# - scaling.windows, which only Roost's image reads: {write_windows(windows_of(environment))}"
    if is_our_image(image):
        yield "# - how the image is built: `roost image` builds and pushes it"
    yield from _beside(file)


def _beside(file: EnvironmentFile) -> Iterator[str]:
    environment = file.environment
    named = (
        ("flows", ", ".join(entry.name for entry in environment.flows)),
        ("waker", environment.waker.app if environment.waker else ""),
        ("prefect.objects", environment.prefect.objects or ""),
        ("drift.ignore", ", ".join(rule.field for rule in environment.drift.ignore)),
    )
    for name, value in named:
        if value:
            yield f"# - {name}: {value}"


def _table(
    name: str, values: Mapping[str, Any], *, array: bool = False, indent: str = ""
) -> Iterator[str]:
    yield ""
    yield f"{indent}[[{name}]]" if array else f"{indent}[{name}]"
    for line in _pairs(values):
        yield f"{indent}  {line}"


def _pairs(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{name} = {toml_value(value)}"


def toml_value(value: Any) -> str:
    """Return a text, number, truth or list of texts as TOML.

    JSON's form of these is TOML's too, but for DEL and half characters (https://toml.io/en/v1.0.0#string).
    """
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
