"""Choose the machine that is an app's Prefect server, or say why the app cannot be imported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from roost.adoption.shape import check_shape
from roost.errors import NotImportableError
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.adoption import same_setup
from roost.plan.desired import ENVIRONMENT_KEY, Json
from roost.plan.live import Live

# Machines of flyctl that end by themselves (flyctl's appconfig and deploy).
_PASSING = frozenset({"fly_app_release_command", "fly_app_test_machine_command", "fly_app_console"})
_WORKER = re.compile(r"\b(?:worker|agent) start\b")
_SERVICES = re.compile(r"\bservices start\b")
_SERVER = re.compile(r"\bserver start\b")


class Role(Enum):
    """What a machine of the app is for, as its command and services say."""

    SERVER = "server"
    SERVICES = "services"
    """Prefect's background services without its API."""
    WORKER = "worker"
    OTHER = "other"


@dataclass(frozen=True)
class Chosen:
    """The server's machine and its config, and the machines beside it, each with its role."""

    machine: Machine
    config: Json
    beside: tuple[tuple[Machine, Role], ...] = ()


def choose(live: Live) -> Chosen:
    """Return the machine that is the Prefect server of an app.

    Raises:
        NotImportableError: there is none, there are several, or its config is not known.
    """
    assert live.app is not None  # noqa: S101 - the caller has looked
    app = live.app.name
    machines = tuple(m for m in live.machines if group_of(m) not in _PASSING)
    _check_theirs(app, machines)
    for found in machines:
        check_shape(app, found)
    _check_prefect(app, machines, (secret.name for secret in live.secrets))
    roles = {machine.id: _role(machine.config or {}) for machine in machines}
    servers = [m for m in machines if roles[m.id] is Role.SERVER]
    if not servers and len(others := [m for m in machines if roles[m.id] is Role.OTHER]) == 1:
        servers = others  # a private server may have neither services nor a command of its own
    if not servers:
        raise NotImportableError(
            f"None of the {len(machines)} machines of {app} serves Prefect's API.",
            where=app,
            advice="Import the app that runs `prefect server start`.",
        )
    _check_alone(app, servers, [m for m in machines if roles[m.id] is Role.SERVICES])
    machine = servers[0]
    config = machine.config or {}
    _check_stays(app, machine, config)
    return Chosen(machine, config, tuple((m, roles[m.id]) for m in machines if m is not machine))


def group_of(machine: Machine) -> str:
    """Return the process group that flyctl gave a machine; its name where it has none."""
    metadata = machine.metadata
    return metadata.get("fly_process_group") or metadata.get("process_group") or machine.name


def command_of(config: Json) -> str:
    """Return what a config starts in place of its image's own command; empty for nothing else."""
    starts = [config.get("init") or {}, *(config.get("processes") or ())]
    words = [
        str(word)
        for start in starts
        for key in ("exec", "entrypoint", "cmd")
        for word in start.get(key) or ()
    ]
    return " ".join(words)


def _role(config: Json) -> Role:
    command = command_of(config)
    for pattern, role in ((_SERVER, Role.SERVER), (_SERVICES, Role.SERVICES)):
        if pattern.search(command):
            return role
    if _WORKER.search(command):
        return Role.WORKER
    serves = any(service.get("ports") for service in config.get("services") or ())
    return Role.SERVER if serves else Role.OTHER


def _check_theirs(app: str, machines: tuple[Machine, ...]) -> None:
    """Check that the app has machines, that Fly tells what they are, and that none is Roost's."""
    if not machines:
        raise NotImportableError(
            f"The app {app} has no machine.",
            where=app,
            advice=f"Write a new environment for it: {Command('init', '--app', app)}",
        )
    if owner := next((name for m in machines if (name := m.metadata.get(ENVIRONMENT_KEY))), ""):
        raise NotImportableError(
            f"The app {app} is managed by Roost already, as the environment {owner}.",
            where=app,
            advice="Its file is in the repository that deploys it.",
        )
    if silent := next((m for m in machines if m.config is None), None):
        raise NotImportableError(
            f"The host of the machine {silent.id} does not answer ({silent.host_status}), so its config "
            "is not known.",
            where=app,
            advice="Wait for Fly to repair it (status.flyio.net), then run this again.",
        )


def _check_prefect(app: str, machines: tuple[Machine, ...], secrets: Iterable[str]) -> None:
    """Check that anything about the app is Prefect's: an image, a command, a variable or a secret."""
    configs = [machine.config or {} for machine in machines]
    names = [*secrets, *(name for config in configs for name in config.get("env") or {})]
    texts = [f"{config.get('image', '')} {command_of(config)}" for config in configs]
    if any(name.startswith("PREFECT_") for name in names) or any("prefect" in t for t in texts):
        return
    raise NotImportableError(
        f"The app {app} is no Prefect server: no image, command, variable or secret of it is Prefect's.",
        where=app,
        advice="Name the app that runs Prefect.",
    )


def _check_alone(app: str, servers: list[Machine], services: list[Machine]) -> None:
    """Check that one machine is the whole server."""
    if services:
        raise NotImportableError(
            f"Prefect's background services run on a machine of their own ({services[0].id}), and one "
            "file describes a server of one machine, or several of Roost's own with a Redis.",
            where=app,
            advice="Start the server without `--no-services` and remove that machine, then import it; "
            "docs/high-availability.md has what Roost runs on several machines.",
        )
    if len(servers) == 1:
        return
    ids = ", ".join(sorted(machine.id for machine in servers))
    fields = {f for other in servers[1:] for f in _differing(servers[0], other)}
    if fields:
        raise NotImportableError(
            f"The machines {ids} serve Prefect with differing configs ({', '.join(sorted(fields))}).",
            where=app,
            advice="Remove all but the one whose config and data are right (`fly machine destroy`), "
            "then import it.",
        )
    raise NotImportableError(
        f"The machines {ids} all serve Prefect. Without a Redis between them, a concurrency lease taken "
        "on one is unknown to the others, so Roost serves from one.",
        where=app,
        advice=f"First: `fly scale count 1 -a {app}`. Later, topology replicated has several.",
    )


def _differing(one: Machine, other: Machine) -> tuple[str, ...]:
    region = () if one.region == other.region else ("region",)
    fields = same_setup(one.config or {}, other.config or {})
    return (*region, *(re.split(r"[.\[]", field)[0] for field in fields))


def _check_stays(app: str, machine: Machine, config: Json) -> None:
    """Check that a machine is one that stays, and runs one container."""
    of_a_job = [name for name in ("schedule", "auto_destroy", "standbys") if config.get(name)]
    if of_a_job:
        raise NotImportableError(
            f"The machine {machine.id} has {' and '.join(of_a_job)}: it is a job or a standby, not a server "
            "that stays.",
            where=app,
            advice="Import an app whose server stays.",
        )
    if config.get("containers"):
        raise NotImportableError(
            f"The machine {machine.id} runs several containers, which an environment file cannot describe.",
            where=app,
            advice="Run the others in an app of their own, then import it.",
        )
    if len(config.get("mounts") or ()) > 1:
        raise NotImportableError(
            f"The machine {machine.id} mounts several volumes, and a server has one.",
            where=app,
            advice="Move the data to one of them first.",
        )
