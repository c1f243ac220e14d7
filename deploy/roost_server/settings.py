"""Settings that follow from where the server runs; they must be set before Prefect is imported.

Pure functions from environments to settings. A value that the user set is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from roost_server.backend import VOLUME, name_backend

DATABASE = "prefect.db"
URL_SETTING = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
URL_ALIAS = "PREFECT_API_DATABASE_CONNECTION_URL"
URL_VARIABLE = "ROOST_DATABASE_URL_VARIABLE"
REPLICA_URL = "ROOST_REPLICA_URL"
MOVED_FROM = "ROOST_MOVED_FROM"
"""The variable of a server on PostgreSQL whose volume still holds its earlier database."""
LEASE_STORAGE = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"


def baked_folder(environ: Mapping[str, str]) -> Path:
    """Return the image's folder with what `bake` prepared."""
    return Path(environ.get("IMAGE_ROOT", "/opt/roost")) / "baked"


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of Prefect's database, as Prefect itself resolves it."""
    return Path(environ.get("PREFECT_HOME", "~/.prefect")).expanduser()


def image_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return settings for the image: its UI, no ephemeral server, no telemetry."""
    return {
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(baked_folder(environ) / "ui"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def lease_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return where concurrency leases are stored: on the volume, if there is one."""
    volume = uses_sqlite_file(environ) or environ.get(MOVED_FROM)
    return {LEASE_STORAGE: "roost_server.leases"} if volume else {}


def uses_sqlite_file(environ: Mapping[str, str]) -> bool:
    """Return whether the usual variables name Prefect's own file in its home folder.

    This runs before Prefect is imported, which reads more names. `serve` compares the result with
    the database that Prefect resolved, and does not start if they differ.
    """
    database = home_folder(environ) / DATABASE
    driver = environ.get("PREFECT_SERVER_DATABASE_DRIVER") or "sqlite+aiosqlite"
    addresses = [environ[name] for name in (URL_SETTING, URL_ALIAS) if environ.get(name)]
    if environ.get(URL_VARIABLE) or not driver.startswith("sqlite"):
        return False
    return all(name_backend(address, database) == VOLUME for address in addresses)


def has_replica(environ: Mapping[str, str]) -> bool:
    """Return whether the database is replicated to a bucket."""
    return bool(environ.get(REPLICA_URL)) and uses_sqlite_file(environ)
