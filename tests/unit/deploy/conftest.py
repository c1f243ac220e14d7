"""Fixtures for tests of the server: databases as Prefect leaves them, and Fly's socket."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from helpers.bucket import KEYS, PROGRAMS, Bucket
from helpers.machine_api import serving


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
    """Reads the notes of a database after an integrity check."""

    def read(path):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return [text for (text,) in connection.execute("SELECT text FROM note")]

    return read


@pytest.fixture
def machine_api(tmp_path):
    with serving(tmp_path / "api.sock") as api:
        yield api


@pytest.fixture
def says():
    """Makes a response of Fly with that status."""
    return lambda status: b"HTTP/1.1 %d Status\r\nContent-Length: 0\r\n\r\n" % status


@pytest.fixture(scope="session")
def bucket(tmp_path_factory):
    """A bucket that tests share; each test has its own path in it."""
    found = Bucket(tmp_path_factory.mktemp("bucket"))
    yield found
    found.close()


@pytest.fixture
def place(tmp_path):
    """This test's own path in the bucket."""
    return tmp_path.name


@pytest.fixture
def replicated(tmp_path, bucket, place):
    """The environment of a machine whose database is replicated to the bucket."""
    return {
        "PREFECT_HOME": str(tmp_path / "data"),
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "ROOST_REPLICA_URL": bucket.url(place),
        "ROOST_REPLICA_ENDPOINT": bucket.endpoint,
        "ROOST_REPLICA_REGION": "us-east-1",
        **KEYS,
    }
