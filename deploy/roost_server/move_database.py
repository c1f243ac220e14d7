"""Copy Prefect's SQLite database to PostgreSQL: `python server.py move-database`.

It runs on the machine with the volume, in place of the server, so nobody writes meanwhile. It ends
with 0 when every table has the same rows and the same content on both sides. What it found is in the
machine's metadata, because Fly has no API for logs.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from roost_server import move_target
from roost_server.migration_lock import postgres_lock
from roost_server.move_failures import MoveError, explain
from roost_server.move_note import MoveNote, Stage, read_move, write_move
from roost_server.move_postgres import newest_revision, prepare_connection
from roost_server.move_progress import Progress
from roost_server.move_report import DIGITS, Copied, run_copy
from roost_server.move_source import (
    MOST_FAULTS,
    Fault,
    broken_references,
    count_rows,
    faulty,
    has_values,
    read_rows,
    tables_of,
)
from roost_server.move_values import Column, ContentHash
from roost_server.postgres_connection import connected
from roost_server.postgres_trial import look, schema_revision
from roost_server.prefect_internals import PROVIDE_DATABASE
from roost_server.seed_database import revision
from roost_server.settings import DATABASE, baked_folder, home_folder
from roost_server.upgrade import read_note
from roost_server.write_freeze import freeze_writes


def move_database(environ: MutableMapping[str, str]) -> int:
    """Copy the database, report the result, and return 0 or 1."""
    return run_copy(environ, _move)


def _move(environ: MutableMapping[str, str]) -> tuple[Copied, ...]:
    home = home_folder(environ)
    note = read_move(home)
    if note and note.stage is Stage.OPENED:
        print("roost: the database was moved before, and clients have written since", flush=True)
        return ()
    _check_source(environ, home)
    prepare_connection(environ)
    with explain(environ):
        try:
            source = freeze_writes(home / DATABASE)
        except sqlite3.Error as error:
            raise MoveError(f"the database on the volume cannot be read: {error}") from None
        with closing(source):
            source.text_factory = bytes
            return asyncio.run(_copy(environ, source, home, note.attempts if note else ()))


def _check_source(environ: Mapping[str, str], home: Path) -> None:
    """Check that the volume holds a proved database of this image's Prefect.

    Raises:
        MoveError: it does not.
    """
    stands_at, brought = revision(home / DATABASE), revision(baked_folder(environ) / DATABASE)
    if not stands_at:
        raise MoveError("the volume has no database of Prefect")
    if stands_at != brought or read_note(home):
        raise MoveError(
            "the database on the volume is of another Prefect than this image's, or its upgrade is "
            "not proved yet; apply that upgrade first, then move the data"
        )


async def _copy(
    environ: Mapping[str, str], source: sqlite3.Connection, home: Path, earlier: tuple[str, ...]
) -> tuple[Copied, ...]:
    if broken := broken_references(source):
        raise faulty(broken)
    await look(environ)
    async with postgres_lock(environ)():
        await _make_schema(environ)
        async with connected(environ) as connection:
            target = (await connection.get_raw_connection()).driver_connection
            columns = await _matched(source, target)
            await _check_empty(target, columns, earlier)
            mark = uuid.uuid4().hex
            write_move(home, MoveNote(Stage.COPYING, (*earlier, mark), time.time()))
            total = sum(count_rows(source, table) for table in columns)
            with Progress(environ, total) as progress:
                async with target.transaction():
                    copied = await _copy_tables(source, target, columns, mark, progress)
        write_move(home, MoveNote(Stage.COPIED, (*earlier, mark), time.time()))
    return copied


async def _make_schema(environ: Mapping[str, str]) -> None:
    """Have Prefect's own migrations make the schema.

    Raises:
        MoveError: the database has the schema of another Prefect.
    """
    async with connected(environ) as connection:
        stands_at = await schema_revision(connection)
    if stands_at not in ("", newest_revision()):
        raise MoveError(
            "the target database has the schema of another Prefect version; name an empty database, "
            "or one that this version has just migrated"
        )
    database = PROVIDE_DATABASE.load()()
    await database.create_db()
    await (await database.engine()).dispose()


async def _matched(source: sqlite3.Connection, target: Any) -> dict[str, tuple[Column, ...]]:
    """Return the columns to copy, by table.

    Raises:
        MoveError: PostgreSQL has no place for a value that is there, or needs one that is not.
    """
    have = tables_of(source)
    try:
        tables = await move_target.read_tables(target, have)
    except move_target.UnknownTypeError as error:
        raise MoveError(f"{error}, which Roost does not know how to copy") from None
    matched: dict[str, tuple[Column, ...]] = {}
    for table, names in have.items():
        wanted = {one.column.name: one for one in tables.get(table, ()) if not one.generated}
        if not wanted and count_rows(source, table):
            raise MoveError(
                f"PostgreSQL's schema has no table {table}, and SQLite's has rows there"
            )
        lost = [n for n in sorted(names - wanted.keys()) if wanted and has_values(source, table, n)]
        if lost:
            raise MoveError(
                f"PostgreSQL's schema has no column {table}.{lost[0]}, which has values"
            )
        for name in sorted(wanted.keys() - names):
            if wanted[name].column.required and not wanted[name].has_default:
                raise MoveError(f"SQLite's schema has no column {table}.{name}, which needs values")
        if wanted:
            matched[table] = tuple(one.column for name, one in wanted.items() if name in names)
    return matched


async def _check_empty(
    target: Any, tables: Mapping[str, Sequence[Column]], earlier: Sequence[str]
) -> None:
    """Check that the target holds nothing, or only an earlier copy of this volume.

    Raises:
        MoveError: it holds something else; it was not touched.
    """
    if await move_target.read_mark(target) in earlier:
        return
    if filled := await move_target.filled_tables(target, tables):
        named = ", ".join(f"{table} ({count})" for table, count in list(filled.items())[:5])
        raise MoveError(
            f"the target database is not empty: it has rows in {named}; name an empty database. It "
            "was not touched"
        )


async def _copy_tables(
    source: sqlite3.Connection,
    target: Any,
    tables: Mapping[str, Sequence[Column]],
    mark: str,
    progress: Progress,
) -> tuple[Copied, ...]:
    """Copy every table, compare both sides, and return what was copied.

    Raises:
        MoveError: rows cannot be copied, or the two sides differ.
    """
    faults: list[Fault] = []
    references = await move_target.prepare(target, tables)
    written = {}
    for table, columns in tables.items():
        written[table] = ContentHash()
        for rows in read_rows(source, table, columns, faults):
            for row in rows:
                written[table].add(row.texts)
            if rows and not faults:
                values = [row.values for row in rows]
                await move_target.write_rows(target, table, columns, values)
            progress.add(table, len(rows))
        if len(faults) >= MOST_FAULTS:
            break
    if faults:
        raise faulty(faults)
    progress.begin("compare")
    await move_target.finish(target, tables, references, mark, progress.add)
    copied = []
    for table, columns in tables.items():
        there = await move_target.read_back(target, table, columns, progress.add)
        copied.append(_compared(source, table, written[table], there))
    return tuple(copied)


def _compared(
    source: sqlite3.Connection, table: str, written: ContentHash, there: ContentHash
) -> Copied:
    here = count_rows(source, table)
    if not here == written.rows == there.rows:
        raise MoveError(
            f"the table {table} has {here} rows in SQLite and {there.rows} in PostgreSQL"
        )
    if written.digest != there.digest:
        raise MoveError(f"the content of the table {table} differs between SQLite and PostgreSQL")
    print(f"roost: copied {table}: {there.rows} rows, {there.digest[:DIGITS]}", flush=True)
    return Copied(table, there.rows, there.digest)
