"""A seed database is one small file without the rows that identify a server."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from roost_server.bake import seal

KEY = "an-encryption-key-that-must-not-be-shared"


@pytest.fixture
def database(tmp_path, make_database):
    """A database as Prefect leaves it: with a log, an encryption key, and free pages."""
    path = make_database(tmp_path / "prefect.db", note="kept")
    with closing(sqlite3.connect(path, isolation_level=None)) as prefect:
        prefect.execute("PRAGMA journal_mode = WAL")
        prefect.execute("CREATE TABLE configuration (key TEXT, value TEXT)")
        prefect.execute("INSERT INTO configuration VALUES ('ENCRYPTION_KEY', ?)", (KEY,))
        prefect.execute("CREATE TABLE scratch (text TEXT)")
        prefect.executemany("INSERT INTO scratch VALUES (?)", [("x" * 4000,)] * 50)
        prefect.execute("DROP TABLE scratch")
    assert KEY.encode() in path.read_bytes()
    return path


def ask(database, question):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(question).fetchall()


def test_no_server_starts_with_another_one_s_key(database):
    seal(database)

    assert ask(database, "SELECT * FROM configuration") == []
    # Not in what SQLite calls free, either.
    assert KEY.encode() not in database.read_bytes()


def test_what_a_server_needs_is_kept(database, read_notes):
    seal(database)

    assert read_notes(database) == ["kept"]
    assert ask(database, "SELECT * FROM alembic_version") == [("2026",)]


def test_its_file_can_become_smaller_again(database):
    seal(database)

    assert ask(database, "PRAGMA auto_vacuum") == [(2,)]


def test_it_is_one_small_file(database):
    before = database.stat().st_size

    seal(database)

    assert [path.name for path in database.parent.iterdir()] == ["prefect.db"]
    assert ask(database, "PRAGMA journal_mode") == [("delete",)]
    assert database.stat().st_size < before / 4
