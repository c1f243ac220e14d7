"""Which database Prefect really uses, named without any part of its address.

Prefect takes its database from several names, in any case, from parts, from JSON and from files
(`prefect.settings`, 3.8.8). What it made of them is known only once it is imported.
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
    """Return the address that Prefect settled on; imports Prefect. It may hold a password."""
    url = CURRENT_SETTINGS.load()().server.database.connection_url
    return str(url.get_secret_value())


def effective_api_path() -> str:
    """Return the path under which Prefect serves its API, as it settled on it."""
    return CURRENT_SETTINGS.load()().server.api.base_path or "/api"


def name_backend(url: str, database: Path) -> str:
    """Name the kind of database at an address of SQLAlchemy's.

    Args:
        url: the address.
        database: the file on the volume.
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
    """Return whether a named backend is SQLite, wherever it lies."""
    return backend in (VOLUME, ELSEWHERE, MEMORY)
