"""Have everything in Prefect that writes to SQLite wait for its turn in one queue.

The seam is what all of Prefect's code goes through: the transaction that its database configuration
opens, and, for the few sessions that write without one, each statement. This is the one place that
touches Prefect's own code while the server runs; `bake` proves that it holds when the image is built.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

from roost_server.prefect_internals import AWAIT_ONLY, SQLITE_CONFIGURATION
from roost_server.write_queue import WriteQueue

# A statement that changes data, as SQLAlchemy writes it; one may begin with what it selects from.
CHANGES = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
CHANGES_AFTER_WITH = re.compile(
    r"\s*WITH\b.*\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\b", re.IGNORECASE | re.DOTALL
)


def queue_writes(queue: WriteQueue) -> None:
    """Make Prefect's sessions take their turns in a queue; once, before its engine is made."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import Pool

    _queue_transactions(SQLITE_CONFIGURATION.load(), queue)
    event.listen(Engine, "do_execute", _queue_statements(queue))
    event.listen(Engine, "do_executemany", _queue_statements(queue, many=True))
    event.listen(Pool, "invalidate", roll_back)


def _queue_transactions(configuration: Any, queue: WriteQueue) -> None:
    """Let a transaction begin in its turn, and as one that writes.

    One that reads first and writes later would be refused by SQLite, at once and for good, when
    another process wrote in between, as a continuous copy does.
    """
    begin = configuration.begin_transaction

    @wraps(begin)
    @asynccontextmanager
    async def begin_transaction(
        self: Any,
        session: Any,
        with_for_update: bool = False,  # noqa: ARG001, FBT001, FBT002 - Prefect's signature
    ) -> AsyncIterator[Any]:
        async with queue.slot(), begin(self, session, with_for_update=True) as transaction:
            yield transaction

    configuration.begin_transaction = begin_transaction


def _queue_statements(queue: WriteQueue, *, many: bool = False) -> Any:
    """Make a listener that carries out a changing statement in a turn of its own.

    Within a transaction the turn is taken already, and SQLAlchemy goes on as ever.
    """
    await_only = AWAIT_ONLY.load()

    def execute(cursor: Any, statement: str, parameters: Any, _: Any) -> bool:
        if queue.has_slot() or not is_change(statement):
            return False
        slot = queue.slot()
        await_only(slot.__aenter__())
        try:
            (cursor.executemany if many else cursor.execute)(statement, parameters)
        finally:
            await_only(slot.__aexit__(None, None, None))
        return True

    return execute


def roll_back(connection: Any, _: Any, error: BaseException | None) -> None:
    """End the transaction of a connection that is thrown away because its task was cancelled.

    Closing alone would leave it open, and SQLite locked, until Python's collector has found all that
    still refers to its statements.
    """
    if isinstance(error, asyncio.CancelledError):
        connection.rollback()


def is_change(statement: str) -> bool:
    """Return whether a statement changes data."""
    return bool(CHANGES.match(statement) or CHANGES_AFTER_WITH.match(statement))
