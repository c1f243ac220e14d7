"""A write freeze blocks writers and leaves the log empty, until its client disconnects."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest

from helpers.asgi_calls import DISCONNECT, Client, answer, chunks, http
from helpers.waiting import LIMIT_S
from roost_server.backend import POSTGRES
from roost_server.write_freeze import FREEZE_PATH, WriteFreeze, freeze_writes, refuse_freeze
from roost_server.write_queue import WriteQueue

GATE = {"x_roost_gate": "1"}
LOGIN = {"PREFECT_SERVER_API_AUTH_STRING": "admin:secret"}
LOGGED_IN = {"authorization": "Basic YWRtaW46c2VjcmV0"}


async def serve(_, __, send):
    """Answer any request."""
    await answer(send, 201)


@pytest.fixture
def database(tmp_path, make_database):
    """A database with a row in its log, as Prefect leaves it while it runs."""
    path = make_database(tmp_path / "prefect.db")
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA synchronous = NORMAL")
    write(writer, "acknowledged")
    yield path
    writer.close()


def write(connection, note):
    with connection:
        connection.execute("INSERT INTO note VALUES (?)", (note,))


def try_to_write(path):
    """Return whether a writer that does not wait can write, such as Prefect's services."""
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        try:
            write(connection, "too early")
        except sqlite3.OperationalError:
            return False
    return True


class Holder(Client):
    """Requests a write freeze, and ends it when the test says so."""

    def __init__(self):
        super().__init__()
        self.held, self.left = asyncio.Event(), asyncio.Event()

    async def receive(self):
        """Send the request, then stay connected until released."""
        if self.sends:
            return self.sends.pop(0)
        await self.left.wait()
        return DISCONNECT

    async def send(self, message):
        """Receive a message, and record that the freeze has begun."""
        await super().send(message)
        if message.get("body") == b"held\n":
            self.held.set()


@asynccontextmanager
async def holding(app, **headers):
    holder = Holder()
    task = asyncio.create_task(holder.call(app, http("POST", FREEZE_PATH, **GATE, **headers)))
    async with asyncio.timeout(LIMIT_S):
        await asyncio.wait(
            [task, asyncio.create_task(holder.held.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        yield holder
        holder.left.set()
        await task


def hold_of(path, queue=None, environ=None, **limits):
    environ = {"PREFECT_HOME": str(path.parent), **(environ or {})}
    return WriteFreeze(environ, queue or WriteQueue(), **limits).layer(serve)


def test_while_it_is_held_nobody_writes_and_the_database_alone_is_whole(
    database, tmp_path, read_notes
):
    async def scenario():
        async with holding(hold_of(database)):
            shutil.copy(database, tmp_path / "copy.db")
            assert not try_to_write(database)

    asyncio.run(scenario())

    assert read_notes(tmp_path / "copy.db") == ["of the image", "acknowledged"]
    assert try_to_write(database)


def test_whoever_writes_waits_for_its_turn_and_is_served_after_it(database):
    queue = WriteQueue()

    async def scenario():
        async with holding(hold_of(database, queue)):
            assert queue.is_taken()
        assert not queue.is_taken()

    asyncio.run(scenario())


def test_a_hold_that_nobody_ends_ends_by_itself(database):
    async def scenario():
        client = Client()
        async with asyncio.timeout(LIMIT_S):
            await client.call(hold_of(database, limit_s=0.05), http("POST", FREEZE_PATH, **GATE))
        return client

    client = asyncio.run(scenario())

    assert client.body == b"held\n"
    assert client.got[-1].get("more_body", False) is False
    assert try_to_write(database)


def test_a_writer_that_does_not_end_is_told_instead_of_waited_for(database, monkeypatch):
    monkeypatch.setattr("roost_server.write_freeze.WRITER_S", 0.01)
    with closing(sqlite3.connect(database, isolation_level=None)) as stubborn:
        stubborn.execute("BEGIN IMMEDIATE")
        client = asyncio.run(Client().call(hold_of(database), http("POST", FREEZE_PATH, **GATE)))

    assert client.statuses == [503]


def test_without_a_database_nothing_is_held_and_none_is_made(tmp_path):
    app = hold_of(tmp_path / "prefect.db")

    client = asyncio.run(Client().call(app, http("POST", FREEZE_PATH, **GATE)))

    assert client.statuses == [503]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"authorization": "Basic bm9ib2R5"}, 401), (LOGGED_IN, 200)]
)
def test_where_there_is_a_login_only_its_owner_holds(database, headers, status):
    async def scenario():
        async with holding(hold_of(database, environ=LOGIN), **headers) as holder:
            return holder.statuses

    assert asyncio.run(scenario()) == [status]


def test_without_the_gate_s_header_it_is_a_page_like_any_other(database):
    client = Client(sends=chunks(b""))

    asyncio.run(client.call(hold_of(database), http("POST", FREEZE_PATH)))

    assert client.statuses == [201]


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), (LOGGED_IN, 409)], ids=["stranger", "owner"]
)
def test_where_there_is_nothing_to_hold_its_owner_is_told_why(headers, status):
    app = refuse_freeze(serve, LOGIN, POSTGRES)

    client = asyncio.run(Client().call(app, http("POST", FREEZE_PATH, **GATE, **headers)))

    assert client.statuses == [status]
    told = b"its database is postgres, and not the file on the volume\n"
    assert client.body == (told if status == 409 else b"")


def test_where_there_is_nothing_to_hold_all_else_is_served():
    client = asyncio.run(
        Client().call(refuse_freeze(serve, {}, POSTGRES), http("POST", FREEZE_PATH))
    )

    assert client.statuses == [201]


def test_under_a_reader_that_stays_the_log_is_kept_and_whole(
    database, tmp_path, read_notes, monkeypatch
):
    monkeypatch.setattr("roost_server.write_freeze.WRITER_S", 0.01)
    with closing(sqlite3.connect(database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM note").fetchall()  # the log cannot be emptied under a reader
        with closing(sqlite3.connect(database)) as writer:
            write(writer, "after the reader came")
        connection = freeze_writes(database)

        shutil.copy(database, tmp_path / "copy.db")
        shutil.copy(f"{database}-wal", tmp_path / "copy.db-wal")
        connection.close()

    assert read_notes(tmp_path / "copy.db")[-1] == "after the reader came"
