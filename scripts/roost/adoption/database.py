"""Find where an existing server keeps its data, or say why its file cannot name that place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from roost.adoption.choose import Chosen, command_of
from roost.adoption.findings import Findings
from roost.environment.database_rules import URL, chooses_database
from roost.environment.disk import EVENTS_SETTING, MOST_DAYS
from roost.environment.prefect_settings import PrefectSettings
from roost.errors import NotImportableError
from roost.fly.models import Volume
from roost.plan.desired import EXTENSION_FIELDS, Json
from roost.plan.image import is_stock_image
from roost.plan.live import Live
from roost.plan.retention import DAY_S, flow_runs_seconds

_FILE = "prefect.db"
_URL_NAMES = (URL, "PREFECT_API_DATABASE_CONNECTION_URL")
_OTHER_URL = "DATABASE_URL"
_HOME_NAME = "PREFECT_HOME"
_HOME = "~/.prefect"
"""Where Prefect's own image keeps its files without PREFECT_HOME."""
USER_HOME = "/root"
"""The home folder of the user that images run as on Fly, which is root."""
_SQLITE = re.compile(r"sqlite(?:\+aiosqlite)?:///(?P<path>/[^?]*)")
_VOLUME_NAME = re.compile(r"[a-z0-9_]{1,30}", re.ASCII)


def database_of(
    live: Live, chosen: Chosen, image: str, known: PrefectSettings, findings: Findings
) -> Json:
    """Return the section `database` of the file.

    Args:
        live: the app as it is.
        chosen: its server.
        image: the image that the server runs.
        known: the settings of its Prefect.
        findings: gets what is guessed.

    Raises:
        NotImportableError: the data is in a place that no file can name.
    """
    app = live.app.name if live.app else ""
    env: Mapping[str, str] = chosen.config.get("env") or {}
    secrets = {secret.name for secret in live.secrets}
    mounts = chosen.config.get("mounts") or ()
    given = [name for name in env if chooses_database(name, known)]
    if in_env := [name for name in given if not str(env[name]).startswith("sqlite")]:
        raise _in_env(app, in_env)
    set_secrets = sorted(name for name in secrets if chooses_database(name, known))
    if parts := [name for name in set_secrets if known.canonical(name) != URL]:
        raise _in_parts(app, parts)
    command = command_of(chosen.config)
    reads_other = _OTHER_URL in secrets and _OTHER_URL in command
    if mounts and (set_secrets or reads_other):
        raise _two_databases(app, set_secrets[0] if set_secrets else _OTHER_URL)
    retention = _retention(env, findings)
    if mounts:
        if _HOME_NAME in secrets or any(name in command for name in (_HOME_NAME, *_URL_NAMES)):
            raise _unknown_place(app)
        file = _database_file(app, image, env)
        return {**_sqlite(app, live, mounts[0], file, findings), **retention}
    if set_secrets:
        return {"backend": "postgres", "url_secret": set_secrets[0], **retention}
    if not reads_other:
        raise _not_read(app) if _OTHER_URL in secrets else _on_its_disk(app)
    findings.guess("database", f"{_OTHER_URL} is the secret with the database's address")
    return {"backend": "postgres", "url_secret": _OTHER_URL, **retention}


def _sqlite(app: str, live: Live, mount: Json, file: str, findings: Findings) -> Json:
    path = str(mount.get("path") or "").rstrip("/")
    if file != f"{path}/{_FILE}":
        raise _elsewhere(app, file, path)
    volume = next((v for v in live.volumes if v.id == mount.get("volume")), None)
    if volume is None or not _VOLUME_NAME.fullmatch(volume.name):
        raise NotImportableError(
            f"The volume {mount.get('volume')} of the machine is not listed by Fly, or has no name.",
            where=app,
            advice=f"See `fly volumes list -a {app}`.",
        )
    found: Json = {"backend": "sqlite", "volume_name": volume.name, "volume_gb": volume.size_gb}
    if volume.snapshot_retention:
        found["snapshot_retention_days"] = volume.snapshot_retention
    return {**found, **_extension(mount, volume, findings)}


def _database_file(app: str, image: str, env: Mapping[str, str]) -> str:
    """Return the path of the SQLite file.

    Raises:
        NotImportableError: neither the variables nor the image's name say where it is.
    """
    home = str(env.get(_HOME_NAME) or (_HOME if is_stock_image(image) else ""))
    home = re.sub("^~(?=/|$)", USER_HOME, home)
    given = next((url for name in _URL_NAMES if (url := str(env.get(name, "")))), "")
    url = given or f"sqlite:///${_HOME_NAME}/{_FILE}"
    # Without a folder the address stays relative, and does not match.
    match = _SQLITE.match(url.replace(f"${_HOME_NAME}", home or "."))
    if match is None:
        raise _unknown_place(app)
    return re.sub("/+", "/", match["path"])


def _extension(mount: Json, volume: Volume, findings: Findings) -> Json:
    percent, add, limit = (mount.get(name) or 0 for name in EXTENSION_FIELDS)
    if not (percent or add or limit):
        return {}
    if percent and add and limit > volume.size_gb:
        return {"extend": {"at_percent": percent, "add_gb": add, "limit_gb": limit}}
    findings.lose("the volume's extension needs a step in GB and a limit above its size")
    return {}


def _retention(env: Mapping[str, str], findings: Findings) -> Json:
    """Return how long data is kept, so that the first apply deletes no more than now."""
    kept: Json = {"flow_runs": "keep"}
    period = flow_runs_seconds(env)
    if period is not None and math.isfinite(period):
        kept["flow_runs"] = _days(period)
    for name in (EVENTS_SETTING, "PREFECT_EVENTS_RETENTION_PERIOD"):
        if text := str(env.get(name, "")):
            try:
                kept["events"] = _days(float(text))
            except ValueError:
                findings.lose(f"{name} is no number of seconds; events are kept for 7 days")
    return {"retention": kept}


def _days(seconds: float) -> str:
    return f"{min(MOST_DAYS, max(1, math.ceil(seconds / DAY_S)))}d"


def _in_env(app: str, names: list[str]) -> NotImportableError:
    return NotImportableError(
        f"{', '.join(sorted(names))} of the machine's variables choose the database. They may hold its "
        "password, and no file may.",
        where=app,
        advice=(
            f"Set the whole address as one secret, `fly secrets set {URL}=postgresql+asyncpg://... -a {app}`, "
            "remove these variables, then import it."
        ),
    )


def _in_parts(app: str, names: list[str]) -> NotImportableError:
    return NotImportableError(
        f"The secrets {', '.join(names)} give the database's address in parts, and a file names one secret "
        "with all of it.",
        where=app,
        advice=(
            f"Set it as one, `fly secrets set {URL}=postgresql+asyncpg://... -a {app}`, unset the parts, "
            "then import it."
        ),
    )


def _two_databases(app: str, name: str) -> NotImportableError:
    return NotImportableError(
        f"The machine mounts a volume, and the secret {name} names a database. Fly shows no value, so "
        "which of the two holds the data is unknown.",
        where=app,
        advice=(
            f"If the data is on the volume, `fly secrets unset {name} -a {app}`; if it is in that database, "
            "make a machine without the volume. Then import it."
        ),
    )


def _on_its_disk(app: str) -> NotImportableError:
    return NotImportableError(
        "The server has neither a volume nor a secret with a database's address: its data is on the "
        "machine's own disk, which every update empties.",
        where=app,
        advice=(
            f"Give it a volume, or set the address as the secret {URL}, and move the data there. "
            "Nothing was changed."
        ),
    )


def _not_read(app: str) -> NotImportableError:
    return NotImportableError(
        f"The server has no volume, and Prefect does not read the secret {_OTHER_URL} by itself: its data "
        "may be on the machine's own disk, which every update empties.",
        where=app,
        advice=(
            f"If the data is in that database, set its address as the secret {URL} as well, then import it. "
            "If not, copy the data off the machine first."
        ),
    )


def _unknown_place(app: str) -> NotImportableError:
    return NotImportableError(
        "Where the server keeps its database is set inside its image, by its command or a secret, or "
        "relative to its folder.",
        where=app,
        advice=(
            f"Once {_FILE} is on the volume, set {_HOME_NAME} to its folder under [env], without an address "
            "of SQLite, deploy, then import it."
        ),
    )


def _elsewhere(app: str, file: str, path: str) -> NotImportableError:
    within = file.startswith(f"{path}/")
    place = f"not at the top of the volume ({path})" if within else f"not on the volume ({path})"
    move = (
        f"Stop what writes, move it there (`fly ssh console -a {app} -C 'mv {file} {path}/{_FILE}'`), change "
        "the variable that names it, then import it."
        if within
        else "The next deploy empties that disk. Stop what writes, copy the file to the top of the volume, "
        f"set {_HOME_NAME}={path} under [env], without an address of SQLite, deploy, then import it."
    )
    return NotImportableError(f"The database {file} is {place}.", where=app, advice=move)
