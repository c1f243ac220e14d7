"""Settings that follow from where the server runs, put into the environment before Prefect reads it.

Pure: environments in, environments out. What a user set stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from roost_server.backend import VOLUME, name_backend
from roost_server.errors import BootError

DATABASE_FILE = "prefect.db"
URL_SETTING = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
URL_ALIAS = "PREFECT_API_DATABASE_CONNECTION_URL"
URL_VARIABLE = "ROOST_DATABASE_URL_VARIABLE"
REPLICA_URL = "ROOST_REPLICA_URL"
LEASE_STORAGE = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
CACHE_SETTINGS = (
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_STATEMENT_CACHE_SIZE",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_PREPARED_STATEMENT_CACHE_SIZE",
)
SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
# As SQLAlchemy reads it: a password ends at the first "@", whatever else is in it.
ADDRESS = re.compile(
    r"(?P<scheme>[^:]*)://(?P<user>[^:/?@]*(?::[^@]*)?@)?(?P<place>[^?]*)\??(?P<query>.*)",
    re.DOTALL,
)
# One host or several, each perhaps with a port, and the name of a database.
_HOST = r"(?:\[[^\]@/]*\]|[^\[\]:/,@]*)(?::\d*)?"
PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^@]*)?", re.DOTALL)
# What an address says to other drivers and asyncpg does not understand, but does not need either.
HINTS = frozenset(
    {
        *("pgbouncer", "connection_limit", "pool_timeout", "connect_timeout"),
        *("channel_binding", "gssencmode", "fallback_application_name"),
    }
)
# Those that asyncpg takes as words (https://magicstack.github.io/asyncpg), and SQLAlchemy's own.
WORDS = frozenset(
    {
        *("ssl", "host", "port", "user", "password", "database", "passfile"),
        *("target_session_attrs", "krbsrvname", "gsslib", "prepared_statement_cache_size"),
    }
)
APPLICATION_NAME = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_APPLICATION_NAME"
POOLER_PORT = re.compile(r":6543(?:[,/]|$)")


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
    """Say whether the database seems to be Prefect's own file in its home folder.

    Read before Prefect is imported, from the usual names alone. What Prefect makes of every name,
    `serve` compares with this, and starts nothing where they differ.
    """
    database = home_folder(environ) / DATABASE_FILE
    driver = environ.get("PREFECT_SERVER_DATABASE_DRIVER") or "sqlite+aiosqlite"
    addresses = [environ[name] for name in (URL_SETTING, URL_ALIAS) if environ.get(name)]
    if environ.get(URL_VARIABLE) or not driver.startswith("sqlite"):
        return False
    return all(name_backend(address, database) == VOLUME for address in addresses)


def has_replica(environ: Mapping[str, str]) -> bool:
    """Say whether the database is to be copied to a bucket as it changes."""
    return bool(environ.get(REPLICA_URL)) and uses_sqlite_file(environ)


def database_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Give Prefect the database that a secret names, in the form its driver understands.

    Raises:
        BootError: the secret is missing, or is no Postgres address.
    """
    name = environ.get(URL_VARIABLE, "")
    if not name:
        return {}
    url = environ.get(name, "")
    if not url:
        raise BootError(f"the secret {name} has no value on this app; set it, then apply again")
    settings = {URL_SETTING: asyncpg_url(url, name)}
    address = _take_apart(url, name)
    if application := dict(parse_qsl(address["query"])).get("application_name"):
        settings[APPLICATION_NAME] = application
    if POOLER_PORT.search(address["place"]):
        # A transaction pooler hands each transaction another connection: nothing may be prepared.
        settings |= dict.fromkeys(CACHE_SETTINGS, "0")
    return settings


def asyncpg_url(url: str, name: str) -> str:
    """Rewrite a Postgres address as its owner copies it into one for asyncpg; touches no password.

    Raises:
        BootError: it is no Postgres address, or asks for what asyncpg cannot; names the variable, never its value.
    """
    address = _take_apart(url, name)
    pairs = [
        ("ssl" if key == "sslmode" else key, value)
        for key, value in parse_qsl(address["query"], keep_blank_values=True)
        if key not in HINTS and key != "application_name"  # that is a setting of its own
    ]
    if any(key not in WORDS for key, _ in pairs):
        known = ", ".join(sorted({"sslmode", "application_name", *HINTS, *WORDS} - {"ssl"}))
        raise BootError(
            f"{name} has an option after its ? that asyncpg does not know; it may have {known}"
        )
    server = f"{address['user'] or ''}{address['place']}"
    return f"postgresql+asyncpg://{server}" + (f"?{urlencode(pairs)}" if pairs else "")


def _take_apart(url: str, name: str) -> re.Match[str]:
    address = ADDRESS.fullmatch(url)
    if address is None or address["scheme"] not in SCHEMES:
        raise BootError(f"{name} is no Postgres address; it must begin with postgresql://")
    if not PLACE.fullmatch(address["place"]):
        # Else the driver would take a part of the password for the host and the port, and show it.
        raise BootError(
            f"{name} has no host and port after its first @; write an @ in user or password as %40"
        )
    return address
