"""Rules that the database is configured under `database`, and by no setting or other secret.

A server on another database than its file names is backed up, restored and put to sleep as if it
were on that one: each of them would then report success over an empty volume.
"""

from __future__ import annotations

from roost.environment.model import Environment, PostgresDatabase
from roost.environment.prefect_settings import PrefectSettings

DATABASE = "PREFECT_SERVER_DATABASE_"
URL = f"{DATABASE}CONNECTION_URL"
# Settings about the use of the database, not the choice of it. Names that a newer Prefect adds count
# as a choice.
TUNING = frozenset(
    {"ECHO", "MIGRATE_ON_START", "TIMEOUT", "CONNECTION_TIMEOUT", "MIGRATION_TIMEOUT"}
)
_ADDRESS = "postgresql://USER:PASSWORD@HOST:5432/NAME"


def chooses_database(name: str, known: PrefectSettings) -> bool:
    """Return whether Prefect reads its database, or a part of its address, from a variable."""
    canonical = known.canonical(name)
    part = canonical.removeprefix(DATABASE)
    return part != canonical and part not in TUNING and not part.startswith("SQLALCHEMY_")


def setting_fault(environment: Environment, name: str, known: PrefectSettings) -> str:
    """Return why a setting may not choose the database; empty for other settings."""
    if not chooses_database(name, known):
        return ""
    if isinstance(environment.database, PostgresDatabase):
        return _second_way(environment, name)
    if environment.prefect.settings[name].startswith("sqlite"):
        return (
            f"{name} is decided by database: with backend sqlite the server keeps its data on the "
            "volume, where snapshots and backups find it; remove it"
        )
    return _other_database(name, "DATABASE_URL")


def secret_fault(environment: Environment, name: str, known: PrefectSettings) -> str:
    """Return why a secret may not choose the database by its name; empty for other names."""
    if not chooses_database(name, known):
        return ""
    if not isinstance(environment.database, PostgresDatabase):
        whole = known.canonical(name) == URL
        return _other_database(name, name if whole else "DATABASE_URL")
    if name == environment.database.url_secret:
        return ""
    return _second_way(environment, name)


def url_secret_fault(environment: Environment, known: PrefectSettings) -> str:
    """Return why Prefect would not read the address from the named secret; empty where it would."""
    database = environment.database
    if not isinstance(database, PostgresDatabase) or not _is_declared(environment):
        return ""
    found = known.find(database.url_secret)
    if found and found.name != URL:
        return "names a secret that sets something else in Prefect; call it DATABASE_URL"
    if environment.prefect.image is not None and not found:
        return (
            "with prefect.image only Prefect itself reads the address; call the secret "
            f"{URL}, and begin its value with postgresql+asyncpg://"
        )
    return ""


def _other_database(name: str, secret: str) -> str:
    return (
        f"{name} makes the server use another database than the one on its volume, and backups "
        f"would not hold it; set database.backend: postgres and database.url_secret: {secret}, "
        f"whose value is the whole address ({_ADDRESS}), or remove it"
    )


def _second_way(environment: Environment, name: str) -> str:
    database = environment.database
    assert isinstance(database, PostgresDatabase)  # noqa: S101 - both callers have checked it
    # A text that is no declared name may be the address itself, so it is not shown.
    secret = f"the secret {database.url_secret}" if _is_declared(environment) else "one secret"
    return (
        f"{name} is decided by database.url_secret: the server takes the whole address from "
        f"{secret}; remove it"
    )


def _is_declared(environment: Environment) -> bool:
    database = environment.database
    return isinstance(database, PostgresDatabase) and any(
        secret.name == database.url_secret for secret in environment.secrets
    )
