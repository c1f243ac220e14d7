"""Write the rows of a move into PostgreSQL, all in one transaction, and read them back.

Until the end of that transaction the target is what it was. So a killed copy, a lost connection or a
full disk leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roost_server.move_progress import Done
from roost_server.move_source import BATCH, SCHEMA_VERSION
from roost_server.move_values import (
    KINDS,
    Column,
    ContentHash,
    Kind,
    quoted,
    select_expression,
    target_text,
)

MARK = "roost-move "
"""The beginning of the comment that a copy leaves on the table with the schema's revision."""
STATEMENT_S = 3600.0
"""The longest statement: a foreign key of a large table is checked row by row."""
# What a server without any data has: its blocks, its own settings, and the pool of the migrations.
FRESH = frozenset(
    {
        *(SCHEMA_VERSION, "block_type", "block_schema", "block_schema_reference"),
        *("configuration", "csrf_token"),
    }
)
ONE_ROW = frozenset({"work_pool", "work_queue"})
_SETTINGS = (
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL lock_timeout = '30s'",  # a server that uses the database holds its tables
)
_COLUMNS = """
SELECT c.relname::text, a.attname::text, t.typname::text, t.typtype::text, a.attnotnull,
    CASE WHEN t.typname = 'varchar' AND a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 0 END,
    ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid),
    a.atthasdef, a.attgenerated <> ''
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND c.relname = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY 1, a.attnum
"""
_REFERENCES = """
SELECT c.relname::text, k.conname::text, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND c.relnamespace = current_schema()::regnamespace AND k.conparentid = 0
    AND c.relname = ANY($1)
ORDER BY 1, 2
"""
_SEQUENCES = """
SELECT c.relname::text, a.attname::text,
    pg_get_serial_sequence(quote_ident(c.relname), a.attname) AS sequence
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    AND c.relname = ANY($1) AND NOT a.attisdropped AND pg_get_serial_sequence(quote_ident(c.relname), a.attname) IS NOT NULL
"""


class UnknownTypeError(Exception):
    """A column has a type that no conversion is known for."""


@dataclass(frozen=True)
class TargetColumn:
    """A column and whether PostgreSQL fills it itself."""

    column: Column
    has_default: bool
    generated: bool


Tables = Mapping[str, tuple[TargetColumn, ...]]


async def read_tables(connection: Any, names: Iterable[str]) -> Tables:
    """Return the columns of each of these tables that is in the schema that Prefect uses.

    Other tables in the database are somebody else's and are never touched.

    Raises:
        UnknownTypeError: names the column.
    """
    found: dict[str, list[TargetColumn]] = {}
    for (
        table,
        name,
        kind,
        type_of_type,
        required,
        length,
        labels,
        default,
        made,
    ) in await connection.fetch(_COLUMNS, list(names)):
        known = Kind.CHOICE if type_of_type == "e" else KINDS.get(kind)
        if known is None:
            raise UnknownTypeError(f"the column {table}.{name} has the type {kind}")
        column = Column(name, kind, known, required, length, frozenset(labels))
        found.setdefault(table, []).append(TargetColumn(column, default, made))
    return {table: tuple(columns) for table, columns in found.items()}


async def read_mark(connection: Any) -> str:
    """Return the mark of the copy that the database holds; empty if it holds none."""
    comment = await connection.fetchval(
        "SELECT obj_description(to_regclass($1::text), 'pg_class')", SCHEMA_VERSION
    )
    return comment.removeprefix(MARK) if (comment or "").startswith(MARK) else ""


async def filled_tables(connection: Any, tables: Iterable[str]) -> dict[str, int]:
    """Return the tables with rows that a fresh server does not have, and how many rows."""
    found = {}
    for table in tables:
        if table in FRESH:
            continue
        count = await connection.fetchval(f"SELECT count(*) FROM {quoted(table)}")  # noqa: S608 - quoted
        if count > (table in ONE_ROW):
            found[table] = count
    return found


async def prepare(connection: Any, tables: Iterable[str]) -> list[tuple[str, str, str]]:
    """Empty every table, and take its foreign keys away until all rows are there.

    Rows refer to each other in circles, such as a run and its state, so no order of tables fits.

    Returns:
        The foreign keys: table, name and definition.
    """
    for statement in _SETTINGS:
        await connection.execute(statement)
    references = [tuple(row) for row in await connection.fetch(_REFERENCES, list(tables))]
    names = ", ".join(quoted(table) for table in tables)
    await connection.execute(f"TRUNCATE {names}", timeout=STATEMENT_S)
    for table, name, _ in references:
        await connection.execute(f"ALTER TABLE {quoted(table)} DROP CONSTRAINT {quoted(name)}")
    return references


async def write_rows(
    connection: Any, table: str, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Add rows to a table."""
    names = [column.name for column in columns]
    await connection.copy_records_to_table(table, records=rows, columns=names, timeout=STATEMENT_S)


async def finish(
    connection: Any,
    tables: Iterable[str],
    references: Sequence[tuple[str, str, str]],
    mark: str,
    done: Done,
) -> None:
    """Put the foreign keys back, which checks every row, set the sequences, and leave the mark."""
    for table, name, definition in references:
        sql = f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(name)} {definition}"
        await connection.execute(sql, timeout=STATEMENT_S)
        done(table, 0)
    for table, column, sequence in await connection.fetch(_SEQUENCES, list(tables)):
        largest = f"SELECT max({quoted(column)}) FROM {quoted(table)}"  # noqa: S608 - quoted
        if (last := await connection.fetchval(largest)) is not None:
            await connection.execute("SELECT setval($1::regclass, $2)", sequence, last)
    await connection.execute(f"COMMENT ON TABLE {SCHEMA_VERSION} IS '{MARK}{mark}'")


async def read_back(
    connection: Any, table: str, columns: Sequence[Column], done: Done
) -> ContentHash:
    """Return the hash of a table's rows as PostgreSQL holds them."""
    found = ContentHash()
    names = ", ".join(select_expression(column) for column in columns)
    cursor = await connection.cursor(
        f"SELECT {names} FROM {quoted(table)}",  # noqa: S608 - quoted
        timeout=STATEMENT_S,
    )
    while batch := await cursor.fetch(BATCH, timeout=STATEMENT_S):
        for row in batch:
            pairs = zip(columns, row, strict=True)
            found.add([target_text(column, text) for column, text in pairs])
        done(table, len(batch))
    return found
