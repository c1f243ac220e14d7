"""Compute what a drill runs: the server's config on a copy of its data, in a temporary app. Pure.

The drill must have no effect outside: it sends no notifications, replicates no data, and only the gate
can log in.
"""

from __future__ import annotations

from roost.environment.model import AUTH_SECRET
from roost.errors import UnappliableError
from roost.fly.models import App, Machine
from roost.plan.backups import Backup
from roost.plan.desired import MOUNT_PATH, VERSION_KEY, Desired
from roost.plan.live import Live
from roost.plan.steps import Json
from roost.plan.volumes import create_volume

DRILL_KEY = "roost_drill"
VOLUME = "drill"
IP_TYPES = ("v6", "shared_v4")
# Services that act on the data they find: late runs, automations, runs to be cancelled.
SERVICES = ("TRIGGERS", "LATE_RUNS", "FOREMAN", "CANCELLATION_CLEANUP", "PAUSE_EXPIRATIONS")


def drill_app(app: str) -> str:
    """Return the name of the app for drills of an app."""
    return f"{app}-drill"


def check_can_drill(desired: Desired) -> None:
    """Refuse to drill a private server, as a drill has a public address.

    Raises:
        UnappliableError: the server is private.
    """
    if "private_v6" in desired.ip_types:
        raise UnappliableError(
            "The server is private, and a drill needs a public address for its gate.",
            where=desired.environment,
            advice="Restore it for real, into another environment, from inside the private network.",
        )


def check_leftovers(desired: Desired, app: App, live: Live) -> None:
    """Check that an existing app of the drill's name was created by a drill.

    Raises:
        UnappliableError: it has objects that no drill created.
    """
    owner = app.organization.slug
    strange = [m.id for m in live.machines if m.metadata.get(DRILL_KEY) != desired.app]
    strange += [volume.id for volume in live.volumes if volume.name != VOLUME]
    strange += [secret.name for secret in live.secrets if secret.name != AUTH_SECRET]
    strange += [ip.ip for ip in live.ips if ip.kind not in IP_TYPES]
    if strange or owner not in ("", desired.organization):
        raise UnappliableError(
            f"The app {app.name} exists, and no drill created it: {', '.join(strange) or owner}.",
            where=desired.environment,
            advice="A drill needs that name. Rename or remove that app.",
        )


def drill_volume(desired: Desired, backup: Backup) -> Json:
    """Return the fields of the drill's volume, without snapshots of its own."""
    assert desired.volume is not None  # noqa: S101 - a server without one has no backups
    fields = create_volume(desired, desired.volume).fields
    return {
        **fields,
        "name": VOLUME,
        "snapshot_id": backup.snapshot,
        "size_gb": max(fields["size_gb"], backup.volume_gb),
        "snapshot_retention": 1,
        "auto_backup_enabled": False,
    }


def drill_config(desired: Desired, machine: Machine | None, volume: str) -> Json:
    """Return the config of the drill's machine: the live one, or the desired one if there is none."""
    config = (machine.config if machine else None) or desired.machines[0].config
    own = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in SERVICES}
    given = config.get("env") or {}
    env = {k: v for k, v in given.items() if not k.startswith("ROOST_REPLICA") and k != AUTH_SECRET}
    services = [
        {**service, "autostop": "off", "autostart": True, "min_machines_running": 0}
        for service in config.get("services") or []
    ]
    return {
        "image": config["image"],
        "guest": config["guest"],
        "env": {**env, **own, "ROOST_IDLE_ACTION": "off"},
        "services": services,
        "restart": {"policy": "no"},
        "mounts": [{"name": VOLUME, "path": MOUNT_PATH, "volume": volume}],
        "metadata": {DRILL_KEY: desired.app, VERSION_KEY: version_of(desired, machine)},
    }


def version_of(desired: Desired, machine: Machine | None) -> str:
    """Return the Prefect version that a drill must report."""
    metadata = machine.metadata if machine else desired.machines[0].config["metadata"]
    return str(metadata.get(VERSION_KEY, ""))
