"""The space of deleted rows returns to the volume, a little in each write slot."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from roost_server import vacuum
from roost_server.bake import seal
from roost_server.vacuum import STEP_PAGES, give_back, keep_shrinking, pages_to_give
from roost_server.write_queue import WriteQueue

ROWS = 3000


def make(path, *, sealed):
    """A database in WAL mode with all rows deleted except the last."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE configuration (key TEXT)")
    if sealed:
        seal(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("CREATE TABLE note (text TEXT)")
            rows = [("x" * 4000,)] * ROWS
            connection.executemany("INSERT INTO note VALUES (?)", rows)
        with connection:
            connection.execute("DELETE FROM note WHERE rowid < ?", (ROWS,))
    return path


@pytest.fixture
def database(tmp_path):
    return make(tmp_path / "prefect.db", sealed=True)


def ask(database, question):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(question).fetchone()[0]


def test_one_step_is_small(database):
    assert give_back(database) == STEP_PAGES


def test_all_but_a_share_is_given_back_in_turns_and_nothing_is_lost(database):
    before = database.stat().st_size

    async def scenario():
        queue = WriteQueue()
        shrinks = asyncio.create_task(keep_shrinking(database, queue, first_s=0, every_s=0.05))
        while pages_to_give(database):
            async with queue.slot():  # others write in between
                pass
            await asyncio.sleep(0.01)
        shrinks.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 60))

    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert database.stat().st_size < before / 5
    assert ask(database, "SELECT count(*) FROM note") == 1
    assert ask(database, "PRAGMA integrity_check") == "ok"


def test_a_database_from_before_is_left_as_it_is(tmp_path):
    database = make(tmp_path / "prefect.db", sealed=False)

    assert ask(database, "PRAGMA freelist_count") > ROWS / 2
    assert pages_to_give(database) == 0


def test_a_failure_is_logged_and_tried_again(database, monkeypatch, capsys):
    failures = iter([sqlite3.OperationalError("database or disk is full")])

    def give(path):
        for failure in failures:
            raise failure
        return give_back(path)

    monkeypatch.setattr(vacuum, "give_back", give)

    async def scenario():
        shrinks = asyncio.create_task(
            keep_shrinking(database, WriteQueue(), first_s=0, every_s=0.01)
        )
        while pages_to_give(database):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)
        shrinks.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 60))

    assert "cannot make the database smaller: database or disk is full" in capsys.readouterr().out
