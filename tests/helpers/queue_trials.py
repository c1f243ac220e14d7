"""Trials of the write queue with Prefect's own sessions; run by the image's Python, from the image's folder.

`python queue_trials.py NAME...` runs trials in PREFECT_HOME, one after the other, each on new rows, and
prints each result as a line of JSON, after its name: Prefect takes seconds to be imported. It
stands alone: neither pytest nor a helper of the tests is in the image.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from prefect.server.database import provide_database_interface
from prefect.settings import get_current_settings

from roost_server.sqlite_writers import queue_writes
from roost_server.write_queue import WriteQueue

WRITERS = 12
TURNS = 8
ROUNDS = 5
LIMIT_S = 300  # as helpers.waiting has it
QUEUE = WriteQueue()


async def add(session):
    """Read the number, let the others run, and write it raised by one."""
    number = (await session.execute(sa.text("SELECT n FROM counter"))).scalar()
    await asyncio.sleep(0.001)
    await session.execute(sa.text("UPDATE counter SET n = :n"), {"n": number + 1})


async def reads_first():
    """Many concurrent sessions that read first and write later, as services do."""
    db, failed = provide_database_interface(), 0
    for result in await asyncio.gather(
        *(_add_often(db) for _ in range(WRITERS)), return_exceptions=True
    ):
        failed += isinstance(result, BaseException)
    return {"failed": failed, "n": await number(db)}


async def _add_often(db):
    for _ in range(TURNS):
        async with db.session_context(begin_transaction=True) as session:
            await add(session)


async def single_statement():
    """A session without a transaction, while another one has the write slot."""
    db = provide_database_interface()

    async def change():
        async with db.session_context() as session:
            await session.execute(sa.text("UPDATE counter SET n = 7"))
            await session.commit()

    async with QUEUE.slot():
        seen_by = asyncio.get_running_loop().create_task(_outside(change))
        await asyncio.sleep(0.3)
        before = await number(db)
    await seen_by
    return {"before": before, "after": await number(db), "taken": QUEUE.is_taken()}


async def _outside(change):
    """Run as a task of its own, not called by the holder of the write slot."""
    await asyncio.get_running_loop().create_task(change(), context=contextvars.Context())


async def cancelled():
    """Cancel writers at any point, then check that others can still write."""
    db = provide_database_interface()
    for _ in range(ROUNDS):
        tasks = [asyncio.create_task(_add_often(db)) for _ in range(WRITERS)]
        for at, task in enumerate(tasks):
            await asyncio.sleep(0.003 * at)
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), LIMIT_S)
        await asyncio.wait_for(_add_often(db), LIMIT_S)
    return {"taken": QUEUE.is_taken()}


async def failing():
    """A statement that SQLite refuses, in a transaction and alone."""
    db, refused = provide_database_interface(), 0
    for begin in (True, False):
        try:
            async with db.session_context(begin_transaction=begin) as session:
                await session.execute(sa.text("INSERT INTO nowhere VALUES (1)"))
        except sa.exc.OperationalError:
            refused += 1
    return {"refused": refused, "taken": QUEUE.is_taken()}


async def other_process():
    """Another process writes between the reads and the writes of a transaction."""
    over = asyncio.Event()
    writing = asyncio.create_task(asyncio.to_thread(_write_beside, over))
    result = await reads_first()
    over.set()
    return {"failed": result["failed"], "beside": await writing}


def _write_beside(over):
    count = 0
    with closing(sqlite3.connect(database(), timeout=LIMIT_S, isolation_level=None)) as connection:
        while not over.is_set():
            connection.execute("INSERT INTO beside VALUES (1)")
            count += 1
            time.sleep(0.002)  # SQLite itself is not fair to who waits for its lock
    return count > 0


async def number(db):
    """Read the number."""
    async with db.session_context() as session:
        return (await session.execute(sa.text("SELECT n FROM counter"))).scalar()


def database():
    """Where Prefect's database is."""
    return Path(get_current_settings().home) / "prefect.db"


TRIALS = {t.__name__: t for t in (reads_first, single_statement, cancelled, failing, other_process)}


def main(names, share):
    """Run trials on a new database."""
    with closing(sqlite3.connect(database(), isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE counter (n INTEGER)")
        connection.execute("CREATE TABLE beside (n INTEGER)")
        connection.execute("INSERT INTO counter VALUES (0)")
    if share:
        queue_writes(QUEUE)
    asyncio.run(play(names))


async def play(names):
    """Run them in one event loop, because the queue belongs to one loop."""
    for name in names:
        with closing(sqlite3.connect(database(), isolation_level=None)) as connection:
            connection.execute("UPDATE counter SET n = 0")
        sys.stdout.write(json.dumps([name, await TRIALS[name]()]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main([word for word in sys.argv[1:] if word in TRIALS], "--without" not in sys.argv)
