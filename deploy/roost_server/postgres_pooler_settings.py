"""What Prefect does otherwise behind a pooler in transaction mode, where nothing of a session lasts.

With both caches off asyncpg still names what SQLAlchemy prepares, and closes it later, in whatever
session that transaction meets. So the pooler's sessions keep some, and a later process, which counts
from 1 again, is told that the name is taken (seen with PgBouncer 1.18.0; newer ones give names of their
own). A statement without a name is replaced by the next one.
"""

from __future__ import annotations

from typing import Any

from roost_server.postgres_connection import unnamed
from roost_server.prefect_internals import TRIGGERS


def suit_pooler() -> None:
    """Name no statement, and listen for no notification, which would reach another session."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "do_connect", _without_names)
    # Prefect then takes it that there is no listening, as with SQLite. It looks for changed
    # automations every 5 s by itself (3.7.8 to 3.9.1: `reconcile_automations`).
    TRIGGERS.load().get_pg_notify_connection = _no_connection


def _without_names(dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    if dialect.driver == "asyncpg":
        options["prepared_statement_name_func"] = unnamed


async def _no_connection() -> None:
    return None
