"""Make Prefect write each event to SQLite once, however often it arrives.

After a restart, clients send again what was not confirmed, and messages saved at a stop are
delivered again. Prefect leaves out events that the database has, and then fails if none is left
(prefect.server.events.storage.database: an INSERT without rows) or if a batch holds an event twice.
It logs an error and drops the whole batch after five attempts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from typing import Any

from roost_server.prefect_internals import EVENT_STORAGE, PROVIDE_DATABASE

# Far below the number of variables that any SQLite accepts in one statement (999).
ASKED_AT_ONCE = 500


def write_each_once() -> None:
    """Wrap Prefect's function that writes events; call it once, before Prefect's services start."""
    import sqlalchemy as sa

    storage = EVENT_STORAGE.load()
    provide_database_interface = PROVIDE_DATABASE.load()
    write = storage._write_sqlite_events  # noqa: SLF001 - the function that loses the batch

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
    """Split a list into parts of at most `size` elements."""
    return (things[at : at + size] for at in range(0, len(things), size))
