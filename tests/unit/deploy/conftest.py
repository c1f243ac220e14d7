"""What tests of the machine's server share: databases as Prefect leaves them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest


@pytest.fixture
def make_database():
    """Makes a database at a revision of the schema, with one note in it."""

    def make(path, revision="2026", note="of the image"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute("CREATE TABLE note (text TEXT)")
            connection.execute("INSERT INTO note VALUES (?)", (note,))
            if revision:
                connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        return path

    return make


@pytest.fixture
def read_notes():
    """Reads the notes of a database that is whole."""

    def read(path):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return [text for (text,) in connection.execute("SELECT text FROM note")]

    return read
