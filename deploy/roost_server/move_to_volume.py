"""Copy Prefect's PostgreSQL database to the volume: `python server.py move-to-volume`.

It runs on a new machine with an empty volume, while no machine of the server runs. It ends with 0 when
every table has the same rows and the same content on both sides. PostgreSQL is only read.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from roost_server import move_postgres_rows, move_target
from roost_server.migration_lock import postgres_lock
from roost_server.move_failures import MoveError, explain
from roost_server.move_postgres import newest_revision, prepare_connection
from roost_server.move_progress import Progress
from roost_server.move_report import DIGITS, Copied, run_copy
from roost_server.move_source import MOST_FAULTS, Fault, faulty, required_of, tables_of
from roost_server.move_sqlite_file import Filling, filling, was_opened
from roost_server.move_values import Column, ContentHash
from roost_server.postgres_connection import connected
from roost_server.postgres_trial import schema_revision
from roost_server.settings import DATABASE, baked_folder, home_folder

ROOM = 1.3
"""The free space that the volume needs, as a multiple of what the tables take in PostgreSQL, with their
indexes; 18,146 rows of runs took 11.8 MB there and 14.2 MB in SQLite."""
Tables = Mapping[str, tuple[Column, ...]]


def move_to_volume(environ: MutableMapping[str, str]) -> int:
    """Copy the database, report the result, and return 0 or 1."""
    return run_copy(environ, _move)


def _move(environ: MutableMapping[str, str]) -> tuple[Copied, ...]:
    home = home_folder(environ)
    if was_opened(home):
        print("roost: the database was moved before, and clients have written since", flush=True)
        return ()
    prepare_connection(environ)
    with explain(environ):
        return asyncio.run(_copy(environ, home))


async def _copy(environ: Mapping[str, str], home: Path) -> tuple[Copied, ...]:
    async with postgres_lock(environ)(), connected(environ) as connection:
        stands_at = await schema_revision(connection)
        if stands_at != newest_revision():
            raise MoveError(
                "the PostgreSQL database has the schema of another Prefect than this image's"
                if stands_at
                else "the PostgreSQL database has no tables of Prefect"
            )
        source = (await connection.get_raw_connection()).driver_connection
        with filling(home, baked_folder(environ) / DATABASE) as target:
            tables = await _matched(source, target)
            async with move_postgres_rows.one_moment(source, list(tables)):
                await _check_room(source, tables, home)
                counts = [await move_postgres_rows.count_rows(source, table) for table in tables]
                with Progress(environ, sum(counts)) as progress:
                    return await _copy_tables(source, target, tables, progress)


async def _matched(source: Any, target: Filling) -> Tables:
    """Return the columns to copy, by table.

    Raises:
        MoveError: SQLite has no place for a value that is there, or needs one that is not.
    """
    have = tables_of(target.connection)
    try:
        found = await move_target.read_tables(source, have)
    except move_target.UnknownTypeError as error:
        raise MoveError(f"{error}, which Roost does not know how to copy") from None
    matched: dict[str, tuple[Column, ...]] = {}
    for table, names in have.items():
        kept = [one.column for one in found.get(table, ()) if not one.generated]
        for lost in (column.name for column in kept if column.name not in names):
            if await move_postgres_rows.has_values(source, table, lost):
                raise MoveError(f"SQLite's schema has no column {table}.{lost}, which has values")
        missing = required_of(target.connection, table) - {column.name for column in kept}
        if kept and missing:
            raise MoveError(
                f"PostgreSQL's schema has no column {table}.{min(missing)}, which needs values"
            )
        if kept:
            matched[table] = tuple(column for column in kept if column.name in names)
    return matched


async def _check_room(source: Any, tables: Tables, home: Path) -> None:
    """Check that the volume has room for the rows.

    Raises:
        MoveError: it has not.
    """
    needed = ROOM * await move_postgres_rows.size_of(source, list(tables))
    free = shutil.disk_usage(home).free
    if free < needed:
        raise MoveError(
            f"the volume has {free / 1e6:.0f} MB free, and the data needs up to {needed / 1e6:.0f} MB; "
            "raise database.volume_gb"
        )


async def _copy_tables(
    source: Any, target: Filling, tables: Tables, progress: Progress
) -> tuple[Copied, ...]:
    """Copy every table, compare both sides, and return what was copied.

    Raises:
        MoveError: rows cannot be copied, the two sides differ, or somebody writes meanwhile.
    """
    faults: list[Fault] = []
    read: dict[str, ContentHash] = {}
    for table, columns in tables.items():
        read[table] = ContentHash()
        async for rows in move_postgres_rows.read_rows(source, table, columns, faults):
            for row in rows:
                read[table].add(row.texts)
            if not faults:
                target.insert(table, columns, [row.values for row in rows])
            progress.add(table, len(rows))
            await move_postgres_rows.check_unused(source, list(tables))
        if len(faults) >= MOST_FAULTS:
            break
    if faults:
        raise faulty(faults)
    progress.begin("compare")
    target.finish(progress.add)
    copied = []
    for table, columns in tables.items():
        here = await move_postgres_rows.count_rows(source, table)
        copied.append(_compared(target, table, columns, (here, read[table]), progress))
    await move_postgres_rows.check_unused(source, list(tables))
    return tuple(copied)


def _compared(
    target: Filling,
    table: str,
    columns: Sequence[Column],
    read: tuple[int, ContentHash],
    progress: Progress,
) -> Copied:
    count, here = read
    there = target.read_back(table, columns, progress.add)
    if not count == here.rows == there.rows:
        raise MoveError(
            f"the table {table} has {count} rows in PostgreSQL and {there.rows} in SQLite"
        )
    if here.digest != there.digest:
        raise MoveError(f"the content of the table {table} differs between PostgreSQL and SQLite")
    print(f"roost: copied {table}: {there.rows} rows, {there.digest[:DIGITS]}", flush=True)
    return Copied(table, there.rows, there.digest)
