"""Messages that a stop leaves are delivered once, after the next start, to their service."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import pytest

from roost_server import message_handover
from roost_server.draining import drain_before_shutdown
from roost_server.message_handover import FILE, MessageHandover, dequeue

READER = "events/task-run-recorder"


@dataclass
class Message:
    """A message as in Prefect's queues in memory."""

    data: str | bytes
    attributes: dict[str, str] = field(default_factory=dict)
    retry_count: int = 0


class Subscription:
    """A subscription as Prefect's services have it."""

    def __init__(self, *messages, again=(), room=100):
        self._queue, self._retry = asyncio.Queue(room), asyncio.Queue()
        for queue, waiting in ((self._queue, messages), (self._retry, again)):
            for message in waiting:
                queue.put_nowait(message)


@pytest.fixture(autouse=True)
def _no_prefect(monkeypatch):
    """Use this file's messages; `tests/e2e/test_restart.py` uses Prefect's."""

    def enqueue(subscription, messages):
        rest = deque(messages)
        while rest and not subscription._queue.full():
            subscription._queue.put_nowait(Message(**rest.popleft()))
        return list(rest)

    monkeypatch.setattr(message_handover, "enqueue", enqueue)


def begin(handover, subscription, name=READER):
    """Register a service that starts to read."""
    handover._begin(name, subscription)
    return subscription


def data(subscription):
    """Return the waiting messages of a queue."""
    return [message["data"] for message in dequeue(subscription)]


def test_what_waits_is_kept_and_delivered_to_its_service_alone(tmp_path):
    stopped = MessageHandover(tmp_path)
    stopped.open()
    begin(stopped, Subscription(Message(b"two"), Message("three"), again=[Message("one", {}, 2)]))
    begin(stopped, Subscription(), "events/event-persister")

    assert stopped.save() == 3

    started = MessageHandover(tmp_path)
    started.open()
    other = begin(started, Subscription(), "events/event-persister")
    reader = begin(started, Subscription())
    assert data(other) == []
    assert [(each["data"], each["retry_count"]) for each in dequeue(reader)] == [
        *(("one", 2), ("two", 0), ("three", 0)),
    ]


def test_what_is_delivered_does_not_come_again(tmp_path):
    stopped = MessageHandover(tmp_path)
    stopped.open()
    begin(stopped, Subscription(Message("one")))
    stopped.save()
    started = MessageHandover(tmp_path)
    started.open()
    begin(started, Subscription())

    again = MessageHandover(tmp_path)
    again.open()

    assert data(begin(again, Subscription())) == []
    assert not (tmp_path / FILE).exists()


def test_a_server_that_is_not_proved_leaves_it_to_whoever_is(tmp_path):
    """After a failed upgrade the previous database is restored, and must still get them."""
    stopped = MessageHandover(tmp_path)
    stopped.open()
    begin(stopped, Subscription(Message("one")))
    stopped.save()

    closed = MessageHandover(tmp_path)
    reader = begin(closed, Subscription(Message("of the gate")))
    assert closed.save() == 0

    assert data(reader) == ["of the gate"]
    restore_copy = MessageHandover(tmp_path)
    restore_copy.open()
    assert data(begin(restore_copy, Subscription())) == ["one"]


def test_a_server_that_opens_later_delivers_then(tmp_path):
    message_handover.write(
        tmp_path / FILE, {READER: [{"data": "one", "attributes": {}, "retry_count": 0}]}
    )
    handover = MessageHandover(tmp_path)
    reader = begin(handover, Subscription())

    handover.open()

    assert data(reader) == ["one"]


def test_what_a_full_queue_does_not_take_waits_for_the_next_start(tmp_path):
    one, two = ({"data": name, "attributes": {}, "retry_count": 0} for name in ("one", "two"))
    message_handover.write(tmp_path / FILE, {READER: [one, two]})
    handover = MessageHandover(tmp_path)
    handover.open()
    begin(handover, Subscription(room=1))

    again = MessageHandover(tmp_path)
    again.open()
    assert data(begin(again, Subscription())) == ["two"]


def test_a_file_that_cannot_be_read_is_left_out_and_said(tmp_path, capfd):
    (tmp_path / FILE).write_text("{")
    handover = MessageHandover(tmp_path)

    handover.open()

    assert data(begin(handover, Subscription())) == []
    assert f"{FILE} cannot be read" in capfd.readouterr().out


def test_a_stop_keeps_what_is_not_handled_in_time(tmp_path, capfd):
    handover = MessageHandover(tmp_path)
    handover.open()
    begin(handover, reader := Subscription(Message("one")))

    async def app(_, receive, __):
        await receive()

    async def receive():
        return {"type": "lifespan.shutdown"}

    layer = drain_before_shutdown(app, reader._queue.qsize, limit_s=0.1, save=handover.save)
    asyncio.run(layer({"type": "lifespan"}, receive, None))

    said = capfd.readouterr().out
    assert "roost: 1 messages are saved on the volume for the next start" in said
    assert "not handled" not in said
