"""Settings that follow from where the server runs, put into the environment before Prefect reads it.

Pure: environments in, environments out. What a user set stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

URL_SETTING = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
URL_ALIAS = "PREFECT_API_DATABASE_CONNECTION_URL"
URL_VARIABLE = "ROOST_DATABASE_URL_VARIABLE"
REPLICA_URL = "ROOST_REPLICA_URL"
LEASE_STORAGE = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"


def baked_folder(environ: Mapping[str, str]) -> Path:
    """Give the folder of the image that was prepared when it was built."""
    return Path(environ.get("IMAGE_ROOT", "/opt/roost")) / "baked"


def home_folder(environ: Mapping[str, str]) -> Path:
    """Give the folder where Prefect keeps its database, as Prefect itself finds it."""
    return Path(environ.get("PREFECT_HOME", "~/.prefect")).expanduser()


def image_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Give what the image implies: its baked pages, no guesses about a missing server, quiet."""
    return {
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(baked_folder(environ) / "ui"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def lease_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Give where concurrency leases are kept: on the volume, where there is one."""
    return {LEASE_STORAGE: "roost_server.leases"} if uses_sqlite_file(environ) else {}


def uses_sqlite_file(environ: Mapping[str, str]) -> bool:
    """Say whether the database is Prefect's own file in its home folder."""
    names = (URL_SETTING, URL_ALIAS, URL_VARIABLE)
    driver = environ.get("PREFECT_SERVER_DATABASE_DRIVER", "sqlite+aiosqlite")
    return driver.startswith("sqlite") and not any(environ.get(name) for name in names)


def uses_sqlite(environ: Mapping[str, str]) -> bool:
    """Say whether the database is SQLite, wherever it lies."""
    url = environ.get(URL_SETTING) or environ.get(URL_ALIAS) or ""
    return uses_sqlite_file(environ) or url.startswith("sqlite")


def has_replica(environ: Mapping[str, str]) -> bool:
    """Say whether the database is to be copied to a bucket as it changes."""
    return bool(environ.get(REPLICA_URL)) and uses_sqlite_file(environ)
