"""Before the server ends, let its services finish what clients were told is accepted.

Prefect answers an event, or takes it from a socket, when it is in a queue in memory: its services then
write it to the database. Asked to end, they drop what waits in those queues. What they do not finish
in time is kept on the volume, where there is one (`carrying`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from roost_server.asgi import App, Message, Receive, Scope, Send
from roost_server.prefect_internals import TOPIC

# Of the 20 s that a machine gets to end (stop_config): after open requests, before the last copy.
LIMIT_S = 6.0
LOOK_S = 0.05
# What was taken from a queue is still being written for a moment.
SETTLE_S = 0.25

Pending = Callable[[], int]
Save = Callable[[], int]


def drain_before_shutdown(
    app: App,
    pending: Pending | None = None,
    limit_s: float = LIMIT_S,
    save: Save | None = None,
) -> App:
    """Tell an application to shut down only when its queues are empty, or the limit has passed.

    Args:
        app: what is told.
        pending: counts what still waits; by default, in Prefect's own queues.
        limit_s: it is told then, whatever waits.
        save: takes out of the queues what waits then, keeps it, and returns how much it has kept.
    """
    count = pending or waiting_messages

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return

        async def receive_later() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await _wait_until_empty(count, limit_s)
                await _save_the_rest(count, save)
            return message

        await app(scope, receive_later, send)

    return serve


async def _wait_until_empty(pending: Pending, limit_s: float) -> None:
    ends = time.monotonic() + limit_s
    empty_since: float | None = None
    while (now := time.monotonic()) < ends:
        if pending():
            empty_since = None
        elif empty_since is None:
            empty_since = now
        elif now - empty_since >= SETTLE_S:
            return
        await asyncio.sleep(LOOK_S)


async def _save_the_rest(pending: Pending, save: Save | None) -> None:
    if pending() and save:
        save()
        # Of what is being handled now, more may come, such as the action of a trigger.
        await asyncio.sleep(SETTLE_S)
        if kept := save():
            print(f"roost: {kept} messages are kept on the volume for the next start", flush=True)
    if left := pending():
        print(f"roost: {left} messages were not handled before the end", flush=True)


def waiting_messages() -> int:
    """Count the messages that wait in Prefect's queues in memory; with another broker there are none."""
    topics = TOPIC.load()._topics.values()  # noqa: SLF001 - nothing else knows them
    subscriptions = [each for topic in topics for each in topic._subscriptions]  # noqa: SLF001 - as above
    return sum(each._queue.qsize() + each._retry.qsize() for each in subscriptions)  # noqa: SLF001 - as above
