"""A full volume refuses writes with the reason, and accepts them when there is room."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import sqlite3
from contextlib import closing

import pytest

from helpers.asgi_calls import Client, http
from roost_server.disk_full import (
    FREEING,
    ROOM,
    Fullness,
    is_full_error,
    refuse_when_full,
    wait_until_end,
)
from roost_server.disk_full import _is_no_full_error as keeps
from roost_server.disk_watch import Space, look, watch_disk
from roost_server.write_queue import ORIGIN, Origin, WriteQueue


class Disk:
    """The free space and the time, set by a test."""

    def __init__(self, tmp_path):
        self.free, self.now = 0, 0.0
        self.fullness = Fullness(tmp_path, free=lambda: self.free, clock=lambda: self.now)


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


@pytest.fixture
def full_error(tmp_path):
    """The error of SQLite itself without room."""
    with closing(sqlite3.connect(tmp_path / "small.db")) as connection:
        connection.execute("PRAGMA max_page_count = 3")
        connection.execute("CREATE TABLE note (text TEXT)")
        with pytest.raises(sqlite3.OperationalError) as refused:
            connection.execute("INSERT INTO note VALUES (?)", ("x" * 50_000,))
    return refused.value


class Answer:
    """What a client receives for one request."""

    def __init__(self, app, method, path):
        client = asyncio.run(Client().call(app, http(method, path)))
        [self.status] = client.statuses
        self.body = client.body
        self.headers = dict(client.got[0]["headers"])


call = Answer


def answering(status, error=None):
    """An application that answers, then raises for the log, as Prefect's framework does."""

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"of the application"})
        if error:
            raise error

    return app


def test_what_says_that_there_is_no_room_is_found_however_deep(full_error):
    wrapped = RuntimeError("outer")
    wrapped.__cause__ = full_error

    assert is_full_error(full_error)
    assert is_full_error(wrapped)
    assert is_full_error(ExceptionGroup("several", [ValueError(), wrapped]))
    assert is_full_error(OSError(errno.ENOSPC, "no space"))
    assert not is_full_error(sqlite3.OperationalError("database or disk is full"))
    assert not is_full_error(OSError(errno.EACCES, "no"))
    assert not is_full_error(None)


def test_an_error_that_is_its_own_cause_is_looked_at_once():
    one, other = ValueError(), ValueError()
    one.__cause__, other.__context__ = other, one

    assert not is_full_error(one)


def test_a_write_that_does_not_fit_is_answered_503_with_the_reason(disk, full_error, capsys):
    app = refuse_when_full(answering(500, full_error), disk.fullness)

    for _ in range(2):
        answer = call(app, "POST", "/api/flow_runs/")
        assert answer.status == 503
        assert "The volume of this server is full" in json.loads(answer.body)["exception_message"]
        assert answer.headers[b"retry-after"] == b"5"

    assert capsys.readouterr().out.count("roost: the volume is full") == 1
    disk.now = 61
    call(app, "POST", "/api/flow_runs/")
    assert capsys.readouterr().out.count("roost: the volume is full") == 1


def test_any_other_failure_passes_as_it_is(disk):
    app = refuse_when_full(answering(500, ValueError("else")), disk.fullness)

    with pytest.raises(ValueError, match="else") as raised:
        call(app, "POST", "/api/flow_runs/")

    assert raised.value.args == ("else",)
    assert not disk.fullness.is_full()
    answer = call(refuse_when_full(answering(500), disk.fullness), "GET", "/api/x")
    assert (answer.status, answer.body) == (500, b"of the application")


def test_ready_says_so_and_health_stays_good(disk):
    app = refuse_when_full(answering(200), disk.fullness)
    disk.fullness.note_refused()

    assert call(app, "GET", "/api/ready").status == 507
    assert call(app, "GET", "/api/health").status == 200
    assert call(app, "POST", "/api/flow_runs/filter").status == 200
    disk.free = ROOM
    assert call(app, "GET", "/api/ready").status == 200


def test_events_are_not_accepted_into_memory_while_they_cannot_be_written(disk):
    app = refuse_when_full(answering(204), disk.fullness)

    assert call(app, "POST", "/api/events").status == 204
    disk.fullness.note_refused()
    assert call(app, "POST", "/api/events").status == 503
    assert call(app, "POST", "/api/events/filter").status == 204


def test_no_slot_is_taken_whose_lease_would_get_no_file(disk):
    app = refuse_when_full(answering(200), disk.fullness)
    path = "/api/v2/concurrency_limits/increment-with-lease"

    assert call(app, "POST", path).status == 503
    disk.free = ROOM
    assert call(app, "POST", path).status == 200


def test_a_deletion_makes_room_within_the_database(disk):
    disk.fullness.note_refused()

    call(refuse_when_full(answering(204), disk.fullness), "DELETE", "/api/flow_runs/x")

    assert not disk.fullness.is_full()


def test_a_service_waits_for_room_before_it_takes_a_turn_and_a_request_does_not(disk):
    disk.fullness.note_refused()

    async def scenario():
        queue = WriteQueue(before_service=lambda: disk.fullness.wait_for_room(look_s=0.01))
        done = []

        async def write(origin):
            ORIGIN.set(origin)
            async with queue.slot():
                done.append(origin)

        service = asyncio.create_task(write(Origin.SERVICE))
        await asyncio.create_task(write(Origin.REQUEST))
        assert done == [Origin.REQUEST]
        assert not queue.is_taken()
        disk.free = ROOM
        await service
        assert done == [Origin.REQUEST, Origin.SERVICE]

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_what_makes_room_does_not_wait_and_nobody_does_once_the_server_ends(disk):
    disk.fullness.note_refused()

    async def vacuum():
        FREEING.set(True)
        await disk.fullness.wait_for_room()

    async def end():
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive():
            return next(messages)

        async def app(_scope, receive, _send):
            await receive()
            waiting = asyncio.create_task(disk.fullness.wait_for_room(look_s=0.01))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await receive()
            await waiting

        await wait_until_end(app, disk.fullness)({"type": "lifespan"}, receive, None)

    asyncio.run(asyncio.wait_for(vacuum(), 30))
    asyncio.run(asyncio.wait_for(end(), 30))


def test_the_log_has_no_traceback_of_it(full_error):
    def record(error):
        return logging.LogRecord("x", 40, "x", 1, "x", None, (type(error), error, None))

    assert not keeps(record(full_error))
    assert keeps(record(ValueError()))
    assert keeps(logging.LogRecord("x", 40, "x", 1, "x", None, None))


# The watch


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ([10, 79, 79], []),
        ([80, 80, 89], [80]),
        ([80, 91, 96, 97], [80, 91, 96]),
        ([96], [96]),
        ([85, 70, 85], [85, 85]),
    ],
)
def test_each_step_is_logged_once(seen, told, capsys, tmp_path):
    waiting = iter(seen)

    def measure(_):
        try:
            return Space(total=100 * 2**30, free=(100 - next(waiting)) * 2**30)
        except StopIteration:
            raise asyncio.CancelledError from None

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch_disk(tmp_path, every_s=0, measure=measure))

    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split(" is ")[1].split(" %")[0]) for line in lines] == told
    assert all("raise database.volume_gb" in line for line in lines)


def test_the_file_system_itself_is_looked_at(tmp_path):
    space = look(tmp_path)

    assert 0 <= space.free <= space.total
    assert 0 <= space.used_percent <= 100
    assert Space(0, 0).used_percent == 0


def test_a_folder_that_is_not_there_yet_is_looked_at_later(tmp_path, capsys):
    looks = iter([FileNotFoundError(), Space(100, 1), asyncio.CancelledError()])

    def measure(_):
        found = next(looks)
        if isinstance(found, BaseException):
            raise found
        return found

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch_disk(tmp_path, every_s=0, measure=measure))

    assert "99 % full" in capsys.readouterr().out
