"""Make everything in Prefect that writes to SQLite wait in one queue.

Prefect's code writes in the transactions of its database configuration, and a few sessions execute
statements without one; both are wrapped. Only this module changes Prefect's own code while the
server runs, and `bake` checks it when the image is built.
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

# A statement that changes data, as SQLAlchemy writes it; it may start with a WITH clause.
CHANGES = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
CHANGES_AFTER_WITH = re.compile(
    r"\s*WITH\b.*\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\b", re.IGNORECASE | re.DOTALL
)


def queue_writes(queue: WriteQueue) -> None:
    """Make Prefect's sessions wait in a queue; call it once, before Prefect creates its engine."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import Pool

    _queue_transactions(SQLITE_CONFIGURATION.load(), queue)
    event.listen(Engine, "do_execute", _queue_statements(queue))
    event.listen(Engine, "do_executemany", _queue_statements(queue, many=True))
    event.listen(Pool, "invalidate", roll_back)


def _queue_transactions(configuration: Any, queue: WriteQueue) -> None:
    """Make a transaction wait for a write slot, and begin it as one that writes.

    SQLite refuses a transaction that reads first and writes later, at once and for good, if another
    process wrote in between, as Litestream does.
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
    """Return a listener that executes a changing statement in a write slot of its own.

    Within a transaction the slot is taken already, and SQLAlchemy executes the statement as usual.
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
    """Roll back a connection that is discarded because its task was cancelled.

    Closing it would leave the transaction open and SQLite locked until Python's garbage collector
    has found every reference to its statements.
    """
    if isinstance(error, asyncio.CancelledError):
        connection.rollback()


def is_change(statement: str) -> bool:
    """Return whether a statement changes data."""
    return bool(CHANGES.match(statement) or CHANGES_AFTER_WITH.match(statement))
