"""Find where an existing server keeps its data, or say why its file cannot name that place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from roost.adoption.choose import Chosen
from roost.adoption.findings import Findings
from roost.environment.database_rules import URL, chooses_database
from roost.environment.disk import EVENTS_SETTING, MOST_DAYS
from roost.environment.prefect_settings import PrefectSettings
from roost.errors import NotImportableError
from roost.fly.models import Volume
from roost.plan.desired import EXTENSION_FIELDS, Json
from roost.plan.live import Live
from roost.plan.retention import DAY_S, flow_runs_seconds

_FILE = "prefect.db"
_URL_NAMES = (URL, "PREFECT_API_DATABASE_CONNECTION_URL")
_OTHER_URL = "DATABASE_URL"
_HOME = "/root/.prefect"
"""Where Prefect's own image keeps its files without PREFECT_HOME."""
_SQLITE = re.compile(r"sqlite(?:\+aiosqlite)?:///(?P<path>/[^?]*)")
_VOLUME_NAME = re.compile(r"[a-z0-9_]{1,30}", re.ASCII)


def database_of(live: Live, chosen: Chosen, known: PrefectSettings, findings: Findings) -> Json:
    """Return the section `database` of the file.

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
    if mounts and set_secrets:
        raise _two_databases(app, set_secrets[0])
    retention = _retention(env, findings)
    if mounts:
        return {**_sqlite(app, live, mounts[0], env, findings), **retention}
    name = set_secrets[0] if set_secrets else _OTHER_URL
    if name not in secrets:
        raise _on_its_disk(app)
    if not set_secrets:
        findings.guess("database", f"{name} is the secret with the database's address")
    return {"backend": "postgres", "url_secret": name, **retention}


def _sqlite(app: str, live: Live, mount: Json, env: Mapping[str, str], findings: Findings) -> Json:
    path = str(mount.get("path") or "").rstrip("/")
    file = _database_file(env)
    if file is None:
        findings.guess("database", f"its file is {_FILE} at the top of the volume, {path}/{_FILE}")
    elif file != f"{path}/{_FILE}":
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


def _database_file(env: Mapping[str, str]) -> str | None:
    """Return the path of the SQLite file; None where no variable of the machine says."""
    for name in _URL_NAMES:
        if match := _SQLITE.match(str(env.get(name, ""))):
            return re.sub("/+", "/", match["path"])
    home = env.get("PREFECT_HOME")
    return f"{str(home).rstrip('/')}/{_FILE}" if home else None


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


def _elsewhere(app: str, file: str, path: str) -> NotImportableError:
    within = file.startswith(f"{path}/")
    place = f"not at the top of the volume ({path})" if within else f"not on the volume ({path})"
    move = (
        f"Stop what writes, move it there (`fly ssh console -a {app} -C 'mv {file} {path}/{_FILE}'`), change "
        "the variable that names it, then import it."
        if within
        else f"It is lost with the next update. Copy it to {path}/{_FILE} first, then import it."
    )
    return NotImportableError(f"The database {file} is {place}.", where=app, advice=move)
