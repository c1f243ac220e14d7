"""Fill a SQLite file for a move to a volume; it gets its name only when it is whole.

It begins as a copy of the image's migrated database, so its schema is that of this Prefect, whatever
that has. The rows of that database are removed first.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roost_server.maintenance_mode import OWNER
from roost_server.move_failures import MoveError
from roost_server.move_progress import Done
from roost_server.move_source import BATCH, broken_references, tables_of
from roost_server.move_values import (
    Column,
    ContentHash,
    RefusedValueError,
    quoted,
    source_text,
)
from roost_server.seed_database import create_once, flush, is_taken
from roost_server.settings import DATABASE

ASIDE = f"{DATABASE}.copying"
COPIED = "postgres"
"""The owner of a volume whose database was copied from PostgreSQL, and which no server has opened to
clients: a server starts there in maintenance mode (`maintenance_mode.is_moved`)."""
_INDEXES = """
SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL
"""
_ENDS = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Filling:
    """A file that is being filled."""

    connection: sqlite3.Connection
    indexes: tuple[str, ...]
    """The SQL that makes the indexes and triggers, which are left out until all rows are there."""

    def insert(
        self, table: str, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Add rows to a table."""
        names = ", ".join(quoted(column.name) for column in columns)
        places = ", ".join("?" * len(columns))
        self.connection.executemany(
            f"INSERT INTO {quoted(table)} ({names}) VALUES ({places})",  # noqa: S608 - quoted
            rows,
        )

    def finish(self, done: Done) -> None:
        """Make the indexes, and check every reference.

        Raises:
            MoveError: a row refers to one that is not there.
        """
        for statement in self.indexes:
            self.connection.execute(statement)
            done("indexes", 0)
        if broken := broken_references(self.connection):
            raise MoveError("; ".join(fault.sentence for fault in broken))

    def read_back(self, table: str, columns: Sequence[Column], done: Done) -> ContentHash:
        """Return the hash of a table's rows as SQLite holds them.

        Raises:
            MoveError: SQLite holds something else than was written.
        """
        found = ContentHash()
        names = ", ".join(quoted(column.name) for column in columns)
        rows = self.connection.execute(f"SELECT {names} FROM {quoted(table)}")  # noqa: S608 - quoted
        try:
            while batch := rows.fetchmany(BATCH):
                for row in batch:
                    pairs = zip(columns, row, strict=True)
                    found.add([source_text(column, raw) for column, raw in pairs])
                done(table, len(batch))
        except RefusedValueError as error:
            raise MoveError(
                f"SQLite does not keep a value of the table {table}: it {error}"
            ) from None
        return found


def was_opened(home: Path) -> bool:
    """Return whether the volume has a copy that a server has served to clients since.

    Raises:
        MoveError: it has a database that is no copy.
    """
    if not is_taken(home / DATABASE):
        return False
    try:
        owner = (home / OWNER).read_text("utf-8")
    except FileNotFoundError:
        raise MoveError("the volume has a database already, which is not overwritten") from None
    return owner != COPIED


@contextmanager
def filling(home: Path, seed_file: Path) -> Iterator[Filling]:
    """Yield an empty file to fill; it becomes the volume's database where the block ends well.

    A copy that an earlier attempt left, and that nobody has been served, is replaced.

    Raises:
        MoveError: SQLite refused, or the volume is full.
    """
    aside = home / ASIDE
    _remove(aside)
    try:
        with _explained():
            shutil.copyfile(seed_file, aside)
        try:
            with closing(sqlite3.connect(aside, isolation_level=None)) as connection:
                connection.text_factory = bytes
                yield _emptied(connection)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise MoveError(_why(error)) from None
        with _explained():
            _put_in_place(home, aside)
    finally:
        _remove(aside)


@contextmanager
def _explained() -> Iterator[None]:
    """Convert the error of a file into a sentence."""
    try:
        yield
    except OSError as error:
        raise MoveError(_why(error)) from None


def _emptied(connection: sqlite3.Connection) -> Filling:
    # A file that is not whole is thrown away, so nothing has to be undone.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN EXCLUSIVE")
    found = [[part.decode() for part in row] for row in connection.execute(_INDEXES).fetchall()]
    for kind, name, _ in found:
        connection.execute(f"DROP {kind} {quoted(name)}")
    for table in tables_of(connection):
        connection.execute(f"DELETE FROM {quoted(table)}")  # noqa: S608 - quoted
    return Filling(connection, tuple(sql for *_, sql in found))


def _put_in_place(home: Path, aside: Path) -> None:
    """Give the whole file its name. The note comes first: no such file is ever without it."""
    flush(aside)
    (home / OWNER).write_text(COPIED, "utf-8")
    flush(home / OWNER)
    flush(home)
    _remove(home / DATABASE)

    def rename(new: Path) -> None:
        aside.rename(new)

    if not create_once(home / DATABASE, rename):
        raise MoveError("the volume has a database already, which is not overwritten")


def _remove(database: Path) -> None:
    for end in _ENDS:
        database.with_name(f"{database.name}{end}").unlink(missing_ok=True)


def _why(error: Exception) -> str:
    text = str(error)
    if "disk is full" in text or getattr(error, "errno", None) == errno.ENOSPC:
        return "the volume is full; raise database.volume_gb"
    if isinstance(error, sqlite3.IntegrityError):  # names the columns, and no value
        return f"the rows break a constraint of SQLite's schema: {text}"
    return f"SQLite refused: {text}"
