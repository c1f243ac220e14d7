"""Fixtures for tests of the server: databases as Prefect leaves them, and Fly's socket."""

from __future__ import annotations

import json
import socketserver
import sqlite3
import threading
from contextlib import closing

import pytest

from helpers.bucket import KEYS, PROGRAMS, Bucket

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


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


class MachineApi(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A stand-in for Fly's API on a socket: sends its answers in order, the last forever."""

    block_on_close = True

    def __init__(self, path):
        super().__init__(str(path), MachineApiCall)
        self.path = str(path)
        self.asked = []
        self.bodies = []
        self.answers = [OK]
        self.when_asked = lambda: None
        self.closing = threading.Event()

    @property
    def environ(self):
        """The variables that Fly sets for a machine, with the path of this socket."""
        return {"FLY_API_SOCKET": self.path, "FLY_APP_NAME": "acme", "FLY_MACHINE_ID": "m1"}


class MachineApiCall(socketserver.StreamRequestHandler):
    """One call of the API."""

    def handle(self):
        """Record the request, then answer; an answer of None is never sent."""
        api = self.server
        verb, path, _ = self.rfile.readline().decode().split(" ", 2)
        length = 0
        while line := self.rfile.readline().strip():
            name, _, value = line.lower().partition(b":")
            length = int(value) if name == b"content-length" else length
        if length:
            api.bodies.append(json.loads(self.rfile.read(length)))
        api.asked.append((verb, path))
        api.when_asked()
        answer = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
        if answer is None:
            api.closing.wait(30)
        else:
            self.wfile.write(answer)


@pytest.fixture
def machine_api(tmp_path):
    with MachineApi(tmp_path / "api.sock") as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield api
        api.closing.set()
        api.shutdown()
        thread.join()


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
