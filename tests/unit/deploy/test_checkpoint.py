"""Before a suspend, committed changes move from the log into the database; writers continue."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roost_server.seed_database import checkpoint


@pytest.fixture
def database(tmp_path, make_database):
    return make_database(tmp_path / "prefect.db", note="old")


@pytest.fixture
def server(database):
    """A server's connection with its settings and without automatic checkpoints."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        yield connection


@pytest.fixture
def survivors(database, tmp_path, read_notes):
    """Reads what would be left without the log."""

    def read():
        return read_notes(shutil.copy(database, tmp_path / "alone.db"))

    return read


def test_what_is_committed_needs_its_log_no_more(database, server, survivors):
    server.execute("INSERT INTO note VALUES ('new')")
    before = survivors()

    checkpoint(database)

    assert before == ["old"]
    assert survivors() == ["old", "new"]


def test_a_writer_in_the_middle_is_not_disturbed(database, server, survivors):
    server.execute("INSERT INTO note VALUES ('new')")
    server.execute("BEGIN IMMEDIATE")
    server.execute("INSERT INTO note VALUES ('newer')")

    checkpoint(database)

    assert survivors() == ["old", "new"]
    server.execute("COMMIT")
    checkpoint(database)
    assert survivors() == ["old", "new", "newer"]


def test_under_a_reader_that_stays_the_log_is_put_onto_the_disk(
    database, server, survivors, monkeypatch
):
    """As Litestream does; SQLite then moves and syncs nothing."""
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
    )
    server.execute("INSERT INTO note VALUES ('new')")
    checkpoint(database)
    with closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM note").fetchall()
        server.execute("INSERT INTO note VALUES ('newer')")
        synced.clear()

        checkpoint(database)

    assert synced == [f"{database}-wal"]
    assert survivors() == ["old", "new"]


def test_a_database_that_is_not_there_is_not_made(tmp_path):
    checkpoint(tmp_path / "prefect.db")

    assert list(tmp_path.iterdir()) == []


def test_a_locked_database_is_left_alone(database, server, survivors, monkeypatch):
    server.execute("PRAGMA locking_mode = EXCLUSIVE")
    server.execute("INSERT INTO note VALUES ('new')")
    connect = sqlite3.connect
    refused = []

    def impatient(path, **_):
        connection = connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        refused.append(path)
        return connection

    monkeypatch.setattr(sqlite3, "connect", impatient)

    checkpoint(database)

    monkeypatch.undo()
    assert refused == [database]
    assert survivors() == ["old"]
    assert server.execute("SELECT count(*) FROM note").fetchone() == (2,)


def test_what_is_no_database_is_left_as_it_is(tmp_path):
    garbage = tmp_path / "prefect.db"
    garbage.write_bytes(b"no database at all" * 99)
    folder = tmp_path / "folder.db"
    folder.mkdir()

    checkpoint(garbage)
    checkpoint(folder)

    assert garbage.read_bytes() == b"no database at all" * 99
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.db", "prefect.db"]
