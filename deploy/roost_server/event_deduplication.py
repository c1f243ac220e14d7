"""Have Prefect write each event to SQLite once, however often it arrives.

A client sends again after a restart what its socket had not confirmed, and what a stop kept is
delivered again. Prefect leaves out what the database has, and then fails where nothing is left
(prefect.server.events.storage.database: an INSERT without rows), or where a batch has an event twice:
it logs an error and, after five tries, drops the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from typing import Any

from roost_server.prefect_internals import EVENT_STORAGE, PROVIDE_DATABASE

# Far below the number of variables that any SQLite takes in one statement (999).
ASKED_AT_ONCE = 500


def write_each_once() -> None:
    """Wrap what writes events to SQLite; once, before Prefect's services start."""
    import sqlalchemy as sa

    storage = EVENT_STORAGE.load()
    provide_database_interface = PROVIDE_DATABASE.load()
    write = storage._write_sqlite_events  # noqa: SLF001 - it is what loses them

    @wraps(write)
    async def write_new(session: Any, events: list[Any]) -> None:
        table = provide_database_interface().Event
        once = {event.id: event for event in events}
        for ids in parts(list(once), ASKED_AT_ONCE):
            for known in (
                await session.scalars(sa.select(table.id).where(table.id.in_(ids)))
            ).all():
                del once[known]
        if once:
            await write(session=session, events=list(once.values()))

    storage._write_sqlite_events = write_new  # noqa: SLF001 - as above


def parts(things: list[Any], size: int) -> Iterator[list[Any]]:
    """Cut a list into parts of at most that size."""
    return (things[at : at + size] for at in range(0, len(things), size))
