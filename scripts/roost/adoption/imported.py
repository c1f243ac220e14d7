"""Make the environment file of an app that exists, from what Fly says about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from roost.adoption.choose import Chosen, Role, choose, command_of, group_of
from roost.adoption.database import database_of
from roost.adoption.findings import Findings
from roost.adoption.service import access_of, health_of, machine_of, scaling_of, server_service
from roost.environment import messages
from roost.environment.flow_rules import all_findings
from roost.environment.job_variables import refused_source
from roost.environment.model import AUTH_SECRET, Environment
from roost.environment.prefect_settings import PrefectSettings
from roost.environment.regions import CLOSED_REGIONS, REGIONS
from roost.environment.rules import Finding
from roost.environment.settings_rules import OWNED_SETTINGS, UI_SETTING, is_off, settings_findings
from roost.environment.variable_rules import is_owned
from roost.errors import NotImportableError
from roost.plan.adoption import looks_secret
from roost.plan.desired import Json
from roost.plan.image import is_our_image, is_stock_image, pinned, version_in
from roost.plan.live import Live

# Fields of a config that the file describes.
_IN_FILE = frozenset(
    {
        *("image", "guest", "size", "env", "services", "restart", "stop_config", "metadata"),
        *("mounts", "checks", "init"),
    }
)
# Fields that Fly documents and no environment file has; they stay on the machine.
_OUTSIDE = frozenset(
    {
        *("processes", "statics", "files", "metrics", "dns", "rootfs", "cache_drive", "volumes"),
        *("standbys", "schedule", "auto_destroy", "containers", "spot"),
    }
)
_VERSION = re.compile(r"\d+\.\d+\.\d+", re.ASCII)
_TAG = re.compile(r"(\d+\.\d+\.\d+)(?:-[\w.-]+)?", re.ASCII)
_MOST_TURNS = 500


@dataclass(frozen=True)
class Imported:
    """The file of an app, as data, and what was found out beside it.

    Args:
        name: the environment.
        data: the file's content, in its order.
        environment: the same, checked.
        machine: the id of the machine that is adopted.
        findings: guesses, losses, and what stays as it is.
    """

    name: str
    data: Json
    environment: Environment
    machine: str
    findings: Findings


def image_of(chosen: Chosen) -> str:
    """Return the image that a machine runs, with its digest where Fly says it."""
    found = chosen.machine.image_ref or {}
    image = str(chosen.config.get("image") or "")
    image = image or f"{found.get('registry')}/{found.get('repository')}:{found.get('tag')}"
    return pinned(image, found)


def version_of(chosen: Chosen) -> str:
    """Return the Prefect version that the image's name says; empty where it says none."""
    if version := version_in(image_of(chosen)):
        return version
    found = chosen.machine.image_ref or {}
    tag = _TAG.fullmatch(str(found.get("tag") or ""))
    is_prefect = str(found.get("repository") or "").endswith("prefecthq/prefect")
    return tag[1] if tag and is_prefect else ""


def imported(
    name: str, live: Live, chosen: Chosen, version: str, known: PrefectSettings
) -> Imported:
    """Return the environment file of an app.

    Args:
        name: the new environment.
        live: the app as it is.
        chosen: its server.
        version: the Prefect that it runs.
        known: the settings of that version.

    Raises:
        NotImportableError: something about the app cannot be said in a file.
    """
    assert live.app is not None  # noqa: S101 - the server was chosen from it
    app, findings = live.app.name, Findings()
    _check_version(app, version)
    _check_region(app, chosen.machine.region)
    image = image_of(chosen)
    database = database_of(live, chosen, image, known, findings)
    service = server_service(chosen.config, findings)
    machine = machine_of(app, chosen.config)
    access = access_of(live, chosen.config, service, findings)
    variables = _variables(chosen, known, findings)
    secrets = sorted({*(secret.name for secret in live.secrets), *variables.secrets})
    access["auth"] = _login(access, secrets, findings)
    if _has_no_ui(chosen, known):
        access["ui"] = False
    prefect: Json = {"version": version}
    if not is_our_image(image):
        prefect["image"] = image
    if variables.settings:
        prefect["settings"] = variables.settings
    data: Json = {
        "app": app,
        "organization": live.app.organization.slug or "personal",
        "region": chosen.machine.region,
        "adopt": chosen.machine.id,
        "prefect": prefect,
        "environment": variables.others,
        "machine": machine,
        "scaling": scaling_of(service, machine["memory_mb"], findings),
        "database": database,
        "access": access,
        "health": health_of(chosen, service, findings),
        "secrets": secrets,
    }
    _name_beside(live, chosen, findings)
    environment = _settled(app, data, known, findings)
    _name_command(chosen, environment.prefect.image, findings)
    kept = {key: value for key, value in data.items() if value not in ({}, [])}
    return Imported(name, kept, environment, chosen.machine.id, findings)


@dataclass(frozen=True)
class _Variables:
    """A machine's variables: Prefect's settings, others, and those that have to become secrets."""

    settings: dict[str, str]
    others: dict[str, str]
    secrets: tuple[str, ...]


def _variables(chosen: Chosen, known: PrefectSettings, findings: Findings) -> _Variables:
    settings: dict[str, str] = {}
    others: dict[str, str] = {}
    secrets = []
    env: Mapping[str, Any] = chosen.config.get("env") or {}
    for name, value in sorted((str(name), str(value)) for name, value in env.items()):
        if known.canonical(name) in OWNED_SETTINGS or _chooses_file(name, value):
            continue  # Roost decides these from other fields, which have been read
        if looks_secret(name, value):
            secrets.append(name)
            findings.lose(
                f"the variable {name} may hold a password: the file lists it under secrets, and the first "
                "apply needs its value"
            )
        elif name.startswith("PREFECT_"):
            settings[name] = value
        elif not is_owned(name):
            others[name] = value
        elif not name.startswith("FLY_") and name != "PRIMARY_REGION":
            findings.lose(f"the variable {name} is removed: Roost or the image sets it")
    return _Variables(settings, others, tuple(secrets))


def _has_no_ui(chosen: Chosen, known: PrefectSettings) -> bool:
    env: Mapping[str, Any] = chosen.config.get("env") or {}
    found = {known.canonical(str(name)): str(value) for name, value in env.items()}
    return is_off(found.get(UI_SETTING, ""))


def _chooses_file(name: str, value: str) -> bool:
    return name.endswith("DATABASE_CONNECTION_URL") and value.startswith("sqlite")


def _login(access: Json, secrets: list[str], findings: Findings) -> str:
    """Return who may use the server; a public one without a login gets one."""
    if AUTH_SECRET in secrets:
        return "basic"
    if not access["public"]:
        return "none"
    secrets.append(AUTH_SECRET)
    secrets.sort()
    findings.lose(
        f"the server is public and has no login; the file asks for one, whose value the first apply "
        f"takes from {AUTH_SECRET}, and every client then needs it in PREFECT_API_AUTH_STRING"
    )
    return "basic"


def _check_version(app: str, version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise NotImportableError(
            "Which Prefect the server runs is unknown: its image's name does not say, and a server is asked "
            f"only if it is public, awake and admits the login in {AUTH_SECRET}.",
            where=app,
            advice="Run it again with `--prefect-version`, such as --prefect-version 3.8.8.",
        )


def _check_region(app: str, region: str) -> None:
    if region not in REGIONS:
        city, nearest = CLOSED_REGIONS.get(region, (region, "iad"))
        raise NotImportableError(
            f"The machine is in {region} ({city}), where Fly takes no machines any more.",
            where=app,
            advice=f"Move it first, such as to {nearest}: a new machine, and its volume from a snapshot.",
        )


def _name_beside(live: Live, chosen: Chosen, findings: Findings) -> None:
    """Name the machines, volumes and fields that the file says nothing about."""
    for machine, role in chosen.beside:
        what = f"the machine {machine.id} of the process group {group_of(machine)}"
        if role is Role.WORKER:
            findings.keep(
                f"{what} runs a worker: it is left alone, and no file describes it; `flows` of the file can "
                "run flows in an app of their own (docs/flows.md)"
            )
        else:
            findings.keep(
                f"{what} is not Prefect's API: it is left alone, and no file describes it"
            )
    mounted = chosen.machine.mounted_volume
    for volume in sorted(live.volumes, key=lambda v: v.id):
        if volume.id != mounted:
            findings.keep(f"the volume {volume.id} ({volume.name}) is left alone")
    for name, value in sorted(chosen.config.items()):
        if value and name in _OUTSIDE:
            findings.keep(f"{name} of the machine stays as it is: the file has no field for it")
        elif value and name not in _IN_FILE:
            findings.keep(f"{name} of the machine is unknown to Roost, and stays as it is")


def _name_command(chosen: Chosen, image: str | None, findings: Findings) -> None:
    """Say what becomes of a command that replaces that of the file's image; None for Roost's own."""
    command, init = command_of(chosen.config), chosen.config.get("init") or {}
    others = sorted(name for name, value in init.items() if value and name != "cmd")
    if image is not None and not is_stock_image(image):
        if init:
            findings.keep("init of the machine stays as it is, with its command")
        return
    if others:
        findings.lose(f"init.{', init.'.join(others)} of the machine is removed")
    if command:
        findings.lose("its command becomes `prefect server start`, without other options")
    if "worker start" in command:
        findings.lose("its command also starts a worker, which ends: run it in an app of its own")


def _settled(app: str, data: Json, known: PrefectSettings, findings: Findings) -> Environment:
    """Remove from the data what no server can have, with the reason, until every rule is kept.

    Raises:
        NotImportableError: a rule is broken by something that cannot be left out.
    """
    for _ in range(_MOST_TURNS):
        try:
            environment = Environment.model_validate(data)
        except ValidationError as error:
            raise _unsayable(app, error) from None
        found = [*all_findings(environment), *settings_findings(environment, known)]
        if not found:
            return environment
        _leave_out(app, data, environment, found[0], findings)
    raise NotImportableError(
        "Too much of the app's settings cannot be kept.",
        where=app,
        advice="Write the file by hand.",
    )


def _leave_out(
    app: str, data: Json, environment: Environment, finding: Finding, findings: Findings
) -> None:
    path, message = finding
    match path:
        case ("prefect", "settings", str(name)):
            del data["prefect"]["settings"][name]
            findings.lose(f"the setting {name} is removed: {_about(message, name)}")
        case ("environment", str(name)):
            del data["environment"][name]
            findings.lose(f"the variable {name} is removed: {_about(message, name)}")
        case ("secrets", int(index), *_):
            secret = environment.secrets[index]
            if refused_source(secret, replicates=False):
                variable = f"SERVER_{secret.name}"
                data["secrets"][index] = {"name": secret.name, "from": {"env": variable}}
                findings.guess("secrets", f"the value of {secret.name} comes from {variable}")
                return
            del data["secrets"][index]
            findings.lose(
                f"the secret {secret.name} is not listed and stays on the app: {_about(message, secret.name)}"
            )
        case ("database", "url_secret") if "image" in data["prefect"]:
            image = data["prefect"].pop("image")
            findings.lose(
                f"the image {image} is replaced by Roost's own: with another image, Prefect itself must read "
                "the address, under its own name for it"
            )
        case _:
            place = ".".join(map(str, path))
            raise NotImportableError(
                f"{place}: {message}.", where=app, advice="Change that on the app, then import it."
            )


def _about(message: str, name: str) -> str:
    """Return a rule's message without the name that it begins with."""
    return message.removeprefix(f"{name} ")


def _unsayable(app: str, error: ValidationError) -> NotImportableError:
    detail = error.errors(include_url=False)[0]
    path = messages.field_path(detail)
    place = ".".join(map(str, path))
    return NotImportableError(
        f"{place} {messages.message(detail, path)}.",
        where=app,
        advice="Change that on the app, then import it.",
    )


__all__ = ["Imported", "choose", "image_of", "imported", "version_of"]
