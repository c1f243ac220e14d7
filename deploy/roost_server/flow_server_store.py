"""Keep the records of flow servers in Prefect's own database, one row for each.

They lie in its table `configuration`, so that they survive a stop, a restore, and a move between
SQLite and Postgres. On SQLite, Prefect's transactions wait in the write queue (`sqlite_writers`).
"""

from __future__ import annotations

from typing import Protocol

from roost_server.flow_servers import FlowServer, from_json
from roost_server.prefect_internals import CONFIGURATION, CONFIGURATIONS, PROVIDE_DATABASE

PREFIX = "ROOST_FLOW_SERVER:"
APP = "app"
"""The key of a record that names the server's app."""


class Records(Protocol):
    """Where records are kept (`Store`)."""

    async def load(self) -> dict[str, FlowServer]:
        """Return all records by name."""

    async def save(self, record: FlowServer) -> None:
        """Write one record."""

    async def delete(self, name: str) -> None:
        """Delete one record."""


class Store:
    """The records in Prefect's database; every method may raise an error of SQLAlchemy.

    Args:
        app: the app of this server. Records of another one are not loaded: in a copy of a database,
            as a drill makes it, they would wake the flow servers of the original.
    """

    def __init__(self, app: str = "") -> None:
        self._app = app

    async def load(self) -> dict[str, FlowServer]:
        """Return all records by name; a row that holds no record is logged and left out."""
        import sqlalchemy

        db = PROVIDE_DATABASE.load()()
        key, value = db.Configuration.key, db.Configuration.value
        async with db.session_context() as session:
            rows = await session.execute(
                sqlalchemy.select(key, value).where(key.like(f"{PREFIX}%"))
            )
            found = list(rows.all())
        records = {}
        for name, document in found:
            try:
                record = from_json(document)
            except (KeyError, TypeError, ValueError) as error:
                print(f"roost: the record {name} cannot be read: {error!r}", flush=True)
            else:
                if document.get(APP, "") == self._app:
                    records[record.name] = record
        return records

    async def save(self, record: FlowServer) -> None:
        """Write one record."""
        db = PROVIDE_DATABASE.load()()
        row = CONFIGURATION.load()(
            key=f"{PREFIX}{record.name}", value=record.to_json() | {APP: self._app}
        )
        async with db.session_context(begin_transaction=True) as session:
            await CONFIGURATIONS.load().write_configuration(session=session, configuration=row)

    async def delete(self, name: str) -> None:
        """Delete one record; none is no error."""
        db = PROVIDE_DATABASE.load()()
        async with db.session_context(begin_transaction=True) as session:
            await CONFIGURATIONS.load().delete_configuration(session=session, key=f"{PREFIX}{name}")
