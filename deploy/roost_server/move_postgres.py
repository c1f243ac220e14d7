"""What both directions of a move need of PostgreSQL: its settings, its pooler, its revision."""

from __future__ import annotations

from collections.abc import MutableMapping

from roost_server.move_failures import MoveError
from roost_server.postgres_address import Pooling, database_settings, pooling_of
from roost_server.postgres_certificate import certificate_settings
from roost_server.postgres_pooler import probe_pooling
from roost_server.prefect_internals import ALEMBIC_CONFIG, PROVIDE_DATABASE
from roost_server.settings import URL_VARIABLE


def prepare_connection(environ: MutableMapping[str, str]) -> None:
    """Set what a connection needs; check that each connection has a session of its own.

    A move holds the migration lock, so that no second one runs. A pooler in transaction mode would
    keep that lock after its holder is gone.

    Raises:
        MoveError: the database is behind a pooler in transaction mode.
        BootError: the database cannot be used.
    """
    environ.update(database_settings(environ))
    environ.update(certificate_settings(environ))
    environ.update(probe_pooling(environ))
    if pooling_of(environ) is Pooling.TRANSACTION:
        name = environ.get(URL_VARIABLE, "")
        raise MoveError(
            f"{name} names a pooler in transaction mode: two connections share a session of PostgreSQL, "
            "and no lock keeps two moves apart; take the address of the database itself, or of a pooler "
            "in session mode"
        )


def newest_revision() -> str:
    """Return the newest revision of PostgreSQL's schema that this Prefect knows."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(ALEMBIC_CONFIG.load()())
    scripts.version_locations = [str(PROVIDE_DATABASE.load()().orm.versions_dir)]
    return str(scripts.get_current_head())
