"""Find the settings by which a live server uses another database than the file on its volume. Pure.

An awake server of Roost's image reports its database. For any other server only its variables and the
names of its secrets are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from roost.environment.database_rules import URL, chooses_database
from roost.environment.prefect_settings import OWN_DEPLOY, PrefectSettings, settings_of
from roost.fly.models import Machine, SecretInfo
from roost.plan.desired import DATABASE_URL_VARIABLE, VERSION_KEY

_DRIVER = "PREFECT_SERVER_DATABASE_DRIVER"
# Groups take JSON, which may name a database.
_GROUPS = frozenset({"PREFECT_SERVER", "PREFECT_SERVER_DATABASE"})
_SQLITE = re.compile(r"sqlite(?:\+aiosqlite)?:///([^?]+)")
_HOME, _FILE = "PREFECT_HOME", "prefect.db"


def chosen_elsewhere(machine: Machine, secrets: Iterable[SecretInfo]) -> tuple[str, ...]:
    """Return the names of variables and secrets by which a machine may use another database.

    Args:
        machine: a machine with a volume.
        secrets: all secrets of its app.
    """
    known = settings_of(OWN_DEPLOY, machine.metadata.get(VERSION_KEY, ""))
    env = (machine.config or {}).get("env") or {}
    mounted = [str(mount.get("path")) for mount in (machine.config or {}).get("mounts") or ()]
    return tuple(sorted({*_variables(env, mounted, known), *_secrets(secrets, known)}))


def _variables(
    env: dict[str, object], mounted: Iterable[str], known: PrefectSettings
) -> Iterator[str]:
    if env.get(DATABASE_URL_VARIABLE):
        yield DATABASE_URL_VARIABLE
    home = str(env.get(_HOME) or "")
    own = {_path(f"{folder}/{_FILE}") for folder in (home, *mounted) if folder}
    for name, value in env.items():
        canonical = known.canonical(name)
        harmless = (canonical == URL and _sqlite_path(str(value), home) in own) or (
            canonical == _DRIVER and str(value).startswith("sqlite")
        )
        if value and not harmless and _chooses(name, known):
            yield name


def _sqlite_path(url: str, home: str) -> str:
    """Return the path of the file in an address of SQLite, without its options; empty for another."""
    match = _SQLITE.match(url.replace(f"${_HOME}", home))
    return _path(match[1]) if match else ""


def _path(text: str) -> str:
    return re.sub("/+", "/", text)


def _secrets(secrets: Iterable[SecretInfo], known: PrefectSettings) -> Iterator[str]:
    return (secret.name for secret in secrets if _chooses(secret.name, known))


def _chooses(name: str, known: PrefectSettings) -> bool:
    return name.upper() in _GROUPS or chooses_database(name, known)
