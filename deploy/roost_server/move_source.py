"""Read Prefect's SQLite database for a move: its tables, its rows, and what is wrong in it.

Every name comes from the database itself, so no release of Prefect has to be known here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from roost_server.move_failures import MoveError
from roost_server.move_values import Column, RefusedValueError, convert, quoted, source_text

SCHEMA_VERSION = "alembic_version"
# Tables of SQLite itself and of Litestream, which describe the file and not what is in it.
_NOT_PREFECTS = ("sqlite_", "_litestream_")
BATCH = 1000
MOST_FAULTS = 20
"""The faults that are listed; a person corrects them one by one."""


@dataclass(frozen=True)
class Fault:
    """What keeps one row from being copied.

    Args:
        table: the name of its table.
        row: how the row is named, such as `id 3f2c...` or `rowid 12`.
        what: what is wrong, as the rest of a sentence; no value is in it.
    """

    table: str
    row: str
    what: str

    @property
    def sentence(self) -> str:
        """The fault as a sentence."""
        return f"{self.table}, row {self.row}: {self.what}"


def faulty(faults: Sequence[Fault]) -> MoveError:
    """Return the error for rows that cannot be copied."""
    more = ", and maybe more" if len(faults) >= MOST_FAULTS else ""
    listed = "; ".join(fault.sentence for fault in faults[:MOST_FAULTS])
    return MoveError(f"{len(faults)} rows{more} cannot be copied as they are: {listed}")


@dataclass(frozen=True)
class ReadRow:
    """One row: the values to send, and their canonical texts."""

    values: tuple[Any, ...]
    texts: tuple[str | None, ...]


def tables_of(source: sqlite3.Connection) -> dict[str, frozenset[str]]:
    """Return the columns of each table that holds data, by the table's name."""
    names = source.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    found = sorted(_name(row[0]) for row in names)
    return {
        name: frozenset(
            _name(row[1]) for row in source.execute(f"PRAGMA table_info({quoted(name)})")
        )
        for name in found
        if name != SCHEMA_VERSION and not name.startswith(_NOT_PREFECTS)
    }


def required_of(source: sqlite3.Connection, table: str) -> frozenset[str]:
    """Return the columns of a table that must have a value and have no default."""
    found = source.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    return frozenset(_name(row[1]) for row in found if row[3] and row[4] is None)


def count_rows(source: sqlite3.Connection, table: str) -> int:
    """Return how many rows a table has."""
    [count] = source.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()  # noqa: S608 - quoted
    return int(count)


def has_values(source: sqlite3.Connection, table: str, column: str) -> bool:
    """Return whether any row of a table has a value in a column."""
    asked = f"SELECT 1 FROM {quoted(table)} WHERE {quoted(column)} IS NOT NULL LIMIT 1"  # noqa: S608 - quoted
    return source.execute(asked).fetchone() is not None


def broken_references(source: sqlite3.Connection) -> list[Fault]:
    """Return the rows that refer to a row that is not there; at most `MOST_FAULTS`."""
    found = source.execute("PRAGMA foreign_key_check").fetchmany(MOST_FAULTS)
    return [
        Fault(
            _name(table), f"rowid {rowid}", f"refers to a row of {_name(parent)} that is not there"
        )
        for table, rowid, parent, _ in found
    ]


def read_rows(
    source: sqlite3.Connection, table: str, columns: Sequence[Column], faults: list[Fault]
) -> Iterator[list[ReadRow]]:
    """Yield a table's rows in batches, converted; what cannot be converted is added to `faults`.

    Args:
        source: returns texts as bytes.
        table: the name of the table.
        columns: the columns to read, as PostgreSQL has them.
        faults: gets at most `MOST_FAULTS`; a row with a fault is left out.
    """
    names = ", ".join(quoted(column.name) for column in columns)
    rows = source.execute(f"SELECT rowid, {names} FROM {quoted(table)}")  # noqa: S608 - quoted
    while batch := rows.fetchmany(BATCH):
        read = (_read(table, columns, raw, faults) for raw in batch)
        yield [row for row in read if row is not None]
        if len(faults) >= MOST_FAULTS:
            return


def _read(
    table: str, columns: Sequence[Column], raw: tuple[Any, ...], faults: list[Fault]
) -> ReadRow | None:
    rowid, *found = raw
    values, texts = [], []
    for column, value in zip(columns, found, strict=True):
        try:
            values.append(convert(column, value))
            texts.append(source_text(column, value))
        except RefusedValueError as error:
            faults.append(Fault(table, _row_name(columns, rowid, found), f"{column.name} {error}"))
            return None
    return ReadRow(tuple(values), tuple(texts))


def _row_name(columns: Sequence[Column], rowid: int, found: Sequence[Any]) -> str:
    named = {column.name: value for column, value in zip(columns, found, strict=True)}
    key = named.get("id")
    # Only a UUID is shown: any other text could be anything.
    if isinstance(key, bytes) and len(key) <= 36 and key.replace(b"-", b"").isalnum():  # noqa: PLR2004 - its digits
        return f"id {key.decode('ascii', 'replace')}"
    return f"rowid {rowid}"


def _name(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
