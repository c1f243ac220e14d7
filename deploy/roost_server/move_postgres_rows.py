"""Read Prefect's rows from PostgreSQL for a move to a volume, as of one moment, while nobody writes.

Nothing is changed there. The tables are locked against writers, so that a server elsewhere that still
uses the database is noticed: it waits for the lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from roost_server.move_failures import MoveError
from roost_server.move_source import BATCH, MOST_FAULTS, Fault
from roost_server.move_target import STATEMENT_S
from roost_server.move_values import (
    Column,
    RefusedValueError,
    quoted,
    select_expression,
    sqlite_value,
    target_text,
)

LOCK_S = 30
_SETTINGS = (
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    f"SET LOCAL lock_timeout = '{LOCK_S}s'",
)
_WAITING = """
SELECT l.pid FROM pg_locks l
WHERE NOT l.granted AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.relation = ANY(SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY($1))
LIMIT 1
"""
_WHO = """
SELECT concat_ws(', ', coalesce(nullif(application_name, ''), 'without a name'),
    'from ' || host(client_addr)) FROM pg_stat_activity WHERE pid = $1
"""
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY($1)
"""


@dataclass(frozen=True)
class FoundRow:
    """One row: the values for SQLite, and their canonical texts."""

    values: tuple[Any, ...]
    texts: tuple[str | None, ...]


@asynccontextmanager
async def one_moment(connection: Any, tables: Sequence[str]) -> AsyncIterator[None]:
    """Read as of one moment within the block, while nobody writes to these tables.

    The locks come before the first query, which fixes the moment.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for statement in _SETTINGS:
            await connection.execute(statement)
        named = ", ".join(quoted(table) for table in tables)
        await connection.execute(f"LOCK TABLE {named} IN SHARE MODE", timeout=LOCK_S * 2)
        yield


async def check_unused(connection: Any, tables: Sequence[str]) -> None:
    """Check that no session waits to write to the tables.

    Raises:
        MoveError: one does, so its rows would be missing; names it.
    """
    pid = await connection.fetchval(_WAITING, tables)
    if pid is None:
        return
    who = await connection.fetchval(_WHO, pid)
    raise MoveError(
        f"another session writes to the PostgreSQL meanwhile, whose rows would be missing: process {pid} "
        f"({who or 'it has ended'}); stop what else uses the database"
    )


async def size_of(connection: Any, tables: Sequence[str]) -> int:
    """Return how many bytes the tables take in PostgreSQL, with their indexes."""
    return int(await connection.fetchval(_SIZE, tables))


async def has_values(connection: Any, table: str, column: str) -> bool:
    """Return whether any row of a table has a value in a column."""
    asked = f"SELECT EXISTS (SELECT 1 FROM {quoted(table)} WHERE {quoted(column)} IS NOT NULL)"  # noqa: S608 - quoted
    return bool(await connection.fetchval(asked, timeout=STATEMENT_S))


async def count_rows(connection: Any, table: str) -> int:
    """Return how many rows a table has."""
    asked = f"SELECT count(*) FROM {quoted(table)}"  # noqa: S608 - quoted
    return int(await connection.fetchval(asked, timeout=STATEMENT_S))


async def read_rows(
    connection: Any, table: str, columns: Sequence[Column], faults: list[Fault]
) -> AsyncIterator[list[FoundRow]]:
    """Yield a table's rows in batches, converted; what SQLite cannot keep is added to `faults`."""
    names = ", ".join(select_expression(column) for column in columns)
    cursor = await connection.cursor(
        f"SELECT {names} FROM {quoted(table)}",  # noqa: S608 - quoted
        timeout=STATEMENT_S,
    )
    while batch := await cursor.fetch(BATCH, timeout=STATEMENT_S):
        read = (_read(table, columns, row, faults) for row in batch)
        yield [row for row in read if row is not None]
        if len(faults) >= MOST_FAULTS:
            return


def _read(
    table: str, columns: Sequence[Column], row: Iterable[str | None], faults: list[Fault]
) -> FoundRow | None:
    values, texts, key = [], [], ""
    for column, text in zip(columns, row, strict=True):
        if column.name == "id" and column.type == "uuid":
            key = f"id {text}"
        try:
            values.append(sqlite_value(column, text))
            texts.append(target_text(column, text))
        except RefusedValueError as error:
            faults.append(Fault(table, key or "without an id", f"{column.name} {error}"))
            return None
    return FoundRow(tuple(values), tuple(texts))
