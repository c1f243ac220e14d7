"""Return the space of deleted rows to the volume, in small steps between other writers.

SQLite reuses the pages of deleted rows, and does not shrink its file by itself. A database that was
created with `auto_vacuum = INCREMENTAL`, as `bake` creates the seed database, can release pages in
small steps. An older database keeps its size and reuses its free pages.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from roost_server.write_queue import WriteQueue

LOOK_S = 600.0
FIRST_LOOK_S = 60.0
STEP_PAGES = 256
"""The number of pages, of 4 KB, that one write slot releases."""
KEPT_SHARE = 0.1
"""The share of the file that stays free for new rows."""
PATIENCE_S = 5.0
INCREMENTAL = 2


async def keep_shrinking(
    database: Path,
    queue: WriteQueue,
    first_s: float = FIRST_LOOK_S,
    every_s: float = LOOK_S,
) -> None:
    """Release the free pages that exceed the kept share, at intervals, until cancelled."""
    wait_s = first_s
    while True:
        await asyncio.sleep(wait_s)
        wait_s = every_s
        given = 0
        try:
            while await asyncio.to_thread(pages_to_give, database):
                async with queue.slot():
                    given += await asyncio.to_thread(give_back, database)
        except sqlite3.Error as error:
            print(f"roost: cannot make the database smaller: {error}", flush=True)
        if given:
            print(f"roost: returned {given} free pages of the database to the volume", flush=True)


def pages_to_give(database: Path) -> int:
    """Return how many free pages exceed the kept share; 0 if they cannot be released."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as reader:
        if _ask(reader, "auto_vacuum") != INCREMENTAL:
            return 0
        spare = _ask(reader, "freelist_count") - int(KEPT_SHARE * _ask(reader, "page_count"))
    return spare if spare >= STEP_PAGES else 0


def give_back(database: Path, pages: int = STEP_PAGES) -> int:
    """Release free pages at the end of the file; return how many.

    Raises:
        sqlite3.Error: another process writes, or there is no room for the log.
    """
    address = f"{database.absolute().as_uri()}?mode=rw"
    with closing(
        sqlite3.connect(address, uri=True, timeout=PATIENCE_S, isolation_level=None)
    ) as writer:
        before = _ask(writer, "freelist_count")
        # `execute` runs one step, which releases one page; a script runs to the end.
        writer.executescript(f"PRAGMA incremental_vacuum({pages:d})")
        return before - _ask(writer, "freelist_count")


def _ask(connection: sqlite3.Connection, pragma: str) -> int:
    value: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return value
