"""The desired state of an app as a value. `desired_state` computes it from an environment file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roost.environment.model import Ignored
from roost.environment.prefect_objects import ObjectsFile

Json = dict[str, Any]

VOLUME_NAME = "data"
MOUNT_PATH = "/data"
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
WINDOWS = "ROOST_WINDOWS"
"""The variable with the windows in which a server stays awake; a server without any does not have it."""
FLOW_SERVER = "ROOST_FLOW_SERVER"
"""The variable with the name of a flow server, which a Prefect server does not have."""
REDIS_DATA = "ROOST_REDIS_DATA"
"""The variable with the volume's folder on the machine of a Redis, which no other machine has."""
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
    section: str = "database"
    """The section of the file that says its size."""


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
    regions: tuple[str, ...] = ()
    """Regions in which the machines for the API take turns; empty where all are in one."""
    ignored: tuple[Ignored, ...] = ()
    """Fields left to somebody else; `machines` and `volume` then have the live values in them."""
    back: bool = False
    """Whether it is a rollback, which may bring an older Prefect."""
    values: ValueCheck = field(default=ValueCheck(), repr=False)
    """How the available values compare with those that were set."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The source of each secret's value, by the secret's name."""
    adopt: str = ""
    """Id of a machine without Roost's marks that becomes the server's; empty for none."""
    objects: ObjectsFile | None = None
    """Prefect's objects; None if the file names none."""
    object_sources: Mapping[str, str] = field(default_factory=dict)
    """The source of each secret of the objects, by the secret's name."""
    object_values: ValueCheck = field(default=ValueCheck(), repr=False)
    """How the available values of those secrets compare with those that were applied."""

    @property
    def always_on(self) -> int:
        """How many machines must be running at all times."""
        return always_on([machine.config for machine in self.machines])


def always_on(configs: Sequence[Json | None]) -> int:
    """Return how many machines never sleep: all without autostop, else the proxy's minimum.

    Flow servers and servers with windows have no autostop of the proxy's, and stop themselves.
    """
    services = [service_of(config or {}) for config in configs if not stops_itself(config or {})]
    if any(AUTOSTOPS.get(service.get("autostop"), "off") == "off" for service in services):
        return len(services)
    least = max((int(service.get("min_machines_running") or 0) for service in services), default=0)
    return min(least, len(services))


def stops_itself(config: Json) -> bool:
    """Return whether a machine sleeps by itself alone, without Fly's proxy."""
    variables = config.get("env") or {}
    is_left_to_it = FLOW_SERVER in variables or WINDOWS in variables
    return is_left_to_it and variables.get(IDLE_ACTION, "off") != "off"


def service_of(config: Json) -> Json:
    """Return the first service of a machine's config; an empty one if it has none."""
    return next(iter(config.get("services") or ()), {})


def idle_action(service: Json) -> str:
    """Return what an idle server does by itself; `off` if any machine has to stay up."""
    if service.get("min_machines_running"):
        return "off"
    return AUTOSTOPS.get(service.get("autostop"), "off")


def named_database(config: Json) -> str:
    """Return the database backend of a machine's config: `postgres`, `sqlite`, or empty."""
    if (config.get("env") or {}).get(DATABASE_URL_VARIABLE):
        return "postgres"
    return "sqlite" if config.get("mounts") else ""
