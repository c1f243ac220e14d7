"""Move a server's data from the SQLite file on its volume to PostgreSQL. Pure.

The machine with the volume copies the database itself, in place of the server, and then serves from
PostgreSQL (docs/decisions/0010-the-machine-moves-its-own-database.md). A machine keeps its mount for
life, so a moved server keeps its volume, which it no longer reads, until somebody confirms the move.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from roost.environment.database_rules import chooses_database
from roost.environment.prefect_settings import OWN_DEPLOY, settings_of
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.desired import (
    DATABASE_URL_VARIABLE,
    MOUNT_PATH,
    VERSION_KEY,
    Desired,
    DesiredMachine,
    DesiredVolume,
    named_database,
)
from roost.plan.image import is_our_image
from roost.plan.live import Live
from roost.plan.ownership import our_machines
from roost.plan.steps import CopyDatabase, Json, PlanItem, Refusal, Risk

MOVED_FROM = "ROOST_MOVED_FROM"
"""The variable of a server on PostgreSQL whose volume still holds its earlier database."""
RESULT_KEY = "roost_move"
"""The metadata entry with the result of a copy (deploy/roost_server/move_report.py)."""
PROGRESS_KEY = "roost_move_progress"
"""The metadata entry with how far a copy is (deploy/roost_server/move_progress.py)."""
OF_COPY = (RESULT_KEY, PROGRESS_KEY)
# The image's own command, with the argument that copies the database and exits (deploy/server.py).
COMMAND = ("python", "server.py", "move-database")
BACK_COMMAND = ("python", "server.py", "move-to-volume")
_SQLITE, _POSTGRES = "sqlite", "postgres"
_HOME, _HOME_WITHOUT_VOLUME = "PREFECT_HOME", "/tmp/prefect"  # noqa: S108 - the machine's own
_MOST_WORDS = 4_000
_MOST_NAME = 30


@dataclass(frozen=True)
class CopiedTable:
    """A table that is the same on both sides: its rows, and the first digits of its hash."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True)
class CopyResult:
    """What a copy found.

    Args:
        tables: the tables that were copied; none if that is not known, or nothing was left to copy.
        seconds: how long it took.
        error: why nothing was copied; empty if everything was.
    """

    tables: tuple[CopiedTable, ...] = ()
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class CopyProgress:
    """How far a copy is.

    Args:
        doing: what it does: `copy`, or `compare` once all rows are there.
        table: the table that it is at.
        rows: how many rows of all tables this part has done.
        of: all rows.
        done: a counter of both parts; while it grows, the copy goes on.
    """

    doing: str
    table: str
    rows: int
    of: int
    done: int


def is_copier(config: Json | None) -> bool:
    """Return whether a machine of this config copies its database instead of serving."""
    command = ((config or {}).get("init") or {}).get("cmd")
    return command in (list(COMMAND), list(BACK_COMMAND))


def is_moved(config: Json | None) -> bool:
    """Return whether a machine of this config serves from PostgreSQL and keeps its earlier volume."""
    return bool(((config or {}).get("env") or {}).get(MOVED_FROM)) and not is_copier(config)


def with_kept_volume(desired: Desired, live: Live) -> Desired:
    """Return the desired state with the volume of each machine that moves or has moved.

    A server on PostgreSQL whose machine has no volume is returned as it is.
    """
    ours = our_machines(desired, live)
    machines = tuple(_fitted(wanted, ours.get(wanted.name)) for wanted in desired.machines)
    fitted = replace(desired, machines=machines)
    moving = moving_machine(fitted, ours)
    return replace(fitted, volume=_volume_of(moving, live)) if moving else fitted


def moving_machine(desired: Desired, ours: Mapping[str, Machine]) -> Machine | None:
    """Return the machine whose data is on its volume and belongs into PostgreSQL; None if none is."""
    for wanted in desired.machines:
        machine = ours.get(wanted.name)
        if machine and is_moved(wanted.config) and not is_moved(machine.config):
            return machine
    return None


def move_items(desired: Desired, ours: Mapping[str, Machine], *, back: bool) -> Iterator[PlanItem]:
    """Yield the copy of a database that moves, or why it cannot move.

    Args:
        desired: the state to plan for, with the kept volume.
        ours: the live machines by slot.
        back: whether the plan is a rollback.
    """
    machine = moving_machine(desired, ours)
    if machine is not None:
        refusals = tuple(_refusals(desired, machine))
        yield from refusals or (_copy(desired.machines[0], machine),)
    elif not back:
        yield from _returning(desired, ours)


def copier_config(
    config: Json, metadata: Mapping[str, str], command: tuple[str, ...] = COMMAND
) -> Json:
    """Return the config of a machine that copies its database once, and turns its clients away.

    A request neither starts nor stops it.

    Args:
        config: what the machine gets after the copy, with its volume.
        metadata: of the machine now; it stays, without what an earlier copy left.
        command: what copies.
    """
    metadata = {key: value for key, value in metadata.items() if key not in OF_COPY}
    return {
        "image": config["image"],
        "guest": config["guest"],
        "env": config["env"],
        "mounts": config["mounts"],
        "services": [
            {**service, "autostart": False, "autostop": "off", "min_machines_running": 0}
            for service in config["services"]
        ],
        "stop_config": config["stop_config"],
        "init": {"cmd": list(command)},
        "restart": {"policy": "no"},
        "metadata": metadata,
    }


def served(config: Json) -> Json:
    """Return a live config without what only a copier has."""
    kept = {key: value for key, value in config.items() if key != "init" or not is_copier(config)}
    metadata = {k: v for k, v in (config.get("metadata") or {}).items() if k not in OF_COPY}
    return {**kept, "metadata": metadata}


def copy_result(machine: Machine) -> CopyResult | None:
    """Return what the copy of the machine's present config found; None if it has not ended.

    The machine wrote it, so its form is checked.
    """
    try:
        found = json.loads(machine.metadata.get(RESULT_KEY, ""))
        if found["version"] != machine.instance_id:
            return None
        tables = tuple(CopiedTable(str(n), int(r), str(d)) for n, r, d in found.get("tables", ()))
        error = str(found.get("error", ""))[:_MOST_WORDS]
        return CopyResult(tables, float(found.get("seconds", 0)), error)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def copy_progress(machine: Machine) -> CopyProgress | None:
    """Return how far the copy of the machine's present config is; None if it has not said.

    The machine wrote it, so its form is checked.
    """
    try:
        found = json.loads(machine.metadata.get(PROGRESS_KEY, ""))
        if found["version"] != machine.instance_id:
            return None
        doing = "compare" if found["doing"] == "compare" else "copy"
        numbers = (int(found[name]) for name in ("rows", "of", "done"))
        return CopyProgress(doing, str(found["table"])[:_MOST_NAME], *numbers)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def kept_volume_notes(desired: Desired, ours: Mapping[str, Machine]) -> Iterator[str]:
    """Yield a sentence for each volume that a move kept."""
    for machine in ours.values():
        if machine.mounted_volume and is_moved(machine.config):
            yield (
                f"The volume {machine.mounted_volume} is from before the move to PostgreSQL and costs "
                "money. Once the moved data is right, remove it: "
                f"`{Command('migrate', desired.environment, '--confirm', machine.mounted_volume)}`."
            )


def _fitted(wanted: DesiredMachine, machine: Machine | None) -> DesiredMachine:
    """Return a machine on PostgreSQL with or without a volume, as the live machine is."""
    if named_database(wanted.config) != _POSTGRES:
        return wanted
    config = without_volume(wanted.config)
    if machine is None or machine.config is None or not machine.mounted_volume:
        return replace(wanted, config=config)
    mount = {k: v for k, v in machine.config["mounts"][0].items() if k != "volume"}
    env = {**config["env"], _HOME: MOUNT_PATH, MOVED_FROM: _SQLITE}
    return replace(wanted, config={**config, "env": env, "mounts": [mount]})


def without_volume(config: Json) -> Json:
    """Return the config of a moved server for a machine without its volume."""
    if not config["env"].get(MOVED_FROM):
        return config
    env = {key: value for key, value in config["env"].items() if key != MOVED_FROM}
    kept = {key: value for key, value in config.items() if key != "mounts"}
    return {**kept, "env": {**env, _HOME: _HOME_WITHOUT_VOLUME}}


def _volume_of(machine: Machine, live: Live) -> DesiredVolume | None:
    """Return the volume of a moving machine as it is; a snapshot of it is taken first."""
    found = next((v for v in live.volumes if v.id == machine.mounted_volume), None)
    if found is None:
        return None
    days = found.snapshot_retention
    return DesiredVolume(
        found.name, found.region, int(found.size_gb), int(days) if days is not None else 0
    )


def _copy(wanted: DesiredMachine, machine: Machine) -> CopyDatabase:
    secret = wanted.config["env"][DATABASE_URL_VARIABLE]
    return CopyDatabase(
        key="database/move",
        summary=(
            f"copy the database from the volume {machine.mounted_volume} to the PostgreSQL of "
            f"{secret}, while the server is stopped; the volume is kept"
        ),
        risk=Risk.DATA,
        machine=machine.id,
        volume=machine.mounted_volume,
        secret=secret,
    )


def _refusals(desired: Desired, machine: Machine) -> Iterator[Refusal]:
    key, [wanted, *others] = "database/move", desired.machines
    config = wanted.config
    if others:
        yield Refusal(
            key,
            "the data is on the volume of one machine, and the file asks for several machines",
            "Move the data with one machine first; then raise the number.",
        )
    if not (
        is_our_image(config["image"]) and is_our_image((machine.config or {}).get("image", ""))
    ):
        yield Refusal(
            key,
            "only the image that Roost builds can copy its database to PostgreSQL",
            "Remove prefect.image and apply, then move the data.",
        )
    runs, wants = machine.metadata.get(VERSION_KEY, ""), config["metadata"][VERSION_KEY]
    if runs != wants:
        yield Refusal(
            key,
            f"the data would move and the version of Prefect change, from {runs} to {wants}",
            f"Keep prefect.version {runs} for the move. Change the version afterwards.",
        )
    secret = config["env"][DATABASE_URL_VARIABLE]
    if chooses_database(secret, settings_of(OWN_DEPLOY, wants)):
        yield Refusal(
            key,
            f"Prefect itself reads {secret}, so a server on the volume would use it as well",
            "Call the secret of the address DATABASE_URL.",
        )


def _returning(desired: Desired, ours: Mapping[str, Machine]) -> Iterator[Refusal]:
    """Refuse to serve the file of a volume whose data was moved away."""
    for wanted in desired.machines:
        machine = ours.get(wanted.name)
        if machine and is_moved(machine.config) and named_database(wanted.config) != _POSTGRES:
            yield Refusal(
                "database/move",
                "the data was moved to PostgreSQL, and the file asks for the database on the volume, "
                "which is from before",
                "Set database.backend back to postgres. While the move is not proved, "
                f"`{Command('rollback', desired.environment)}` undoes it. To move the data to a new "
                f"volume: `{Command('migrate', desired.environment, '--to', 'sqlite')}`.",
            )
