"""A stopping server first handles the messages in its queues, within a limit."""

from __future__ import annotations

import asyncio
import time

from roost_server import draining
from roost_server.draining import drain_before_shutdown

SHUTDOWN = {"type": "lifespan.shutdown"}


def shut_down(pending, limit_s=5.0):
    """Shut an application down; return the messages that waited at that time, and the delay."""
    seen = []

    async def app(_, receive, __):
        assert (await receive())["type"] == "lifespan.startup"
        began = time.monotonic()
        assert await receive() == SHUTDOWN
        seen.append(time.monotonic() - began)

    messages = [{"type": "lifespan.startup"}, SHUTDOWN]

    async def receive():
        return messages.pop(0)

    async def send(_):
        pass

    asyncio.run(drain_before_shutdown(app, pending, limit_s)({"type": "lifespan"}, receive, send))
    [took] = seen
    return took


def test_it_is_told_to_end_when_nothing_waits_any_more(monkeypatch):
    monkeypatch.setattr(draining, "LOOK_S", 0.001)
    monkeypatch.setattr(draining, "SETTLE_S", 0.001)
    counts = iter([3, 2, 1, 0, 1])  # what is handled may bring more
    asked = []

    def pending():
        asked.append(next(counts, 0))
        return asked[-1]

    shut_down(pending, limit_s=60)

    assert asked[:5] == [3, 2, 1, 0, 1]
    assert asked[-2:] == [0, 0]


def test_what_never_ends_is_given_up_and_counted(capfd):
    took = shut_down(lambda: 7, limit_s=0.1)

    assert took >= 0.1
    assert "roost: 7 messages were not handled before the end" in capfd.readouterr().out


def test_requests_pass_through():
    passed = []

    async def app(*arguments):
        passed.append(arguments)

    asyncio.run(drain_before_shutdown(app, lambda: 1)({"type": "http"}, None, None))

    assert passed == [({"type": "http"}, None, None)]
