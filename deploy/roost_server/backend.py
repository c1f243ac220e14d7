"""Name the database that Prefect uses, without any part of its address.

Prefect reads the database from several variables, in any case, and from parts, JSON and files
(`prefect.settings`, 3.8.8). The result is known only after Prefect was imported.
"""

from __future__ import annotations

from pathlib import Path

from roost_server.prefect_internals import CURRENT_SETTINGS

VOLUME = "sqlite on the volume"
ELSEWHERE = "sqlite elsewhere"
MEMORY = "sqlite in memory"
POSTGRES = "postgres"
UNKNOWN = "another database"


def effective_url() -> str:
    """Return the address that Prefect resolved, which may hold a password; imports Prefect."""
    url = CURRENT_SETTINGS.load()().server.database.connection_url
    return str(url.get_secret_value())


def effective_api_path() -> str:
    """Return the path that Prefect resolved for its API, such as `/api`."""
    return CURRENT_SETTINGS.load()().server.api.base_path or "/api"


def name_backend(url: str, database: Path) -> str:
    """Return which kind of database a SQLAlchemy address names.

    Args:
        url: the address.
        database: Prefect's own file on the volume.
    """
    scheme, _, rest = url.partition("://")
    if scheme.startswith("postgres"):
        return POSTGRES
    if not scheme.startswith("sqlite"):
        return UNKNOWN
    path, _, query = rest.removeprefix("/").partition("?")
    path = path.removeprefix("file:")
    if path in ("", ":memory:") or "mode=memory" in query:
        return MEMORY
    return VOLUME if Path(path).resolve() == database.resolve() else ELSEWHERE


def is_sqlite(backend: str) -> bool:
    """Return whether a backend named by `name_backend` is SQLite, on the volume or elsewhere."""
    return backend in (VOLUME, ELSEWHERE, MEMORY)
