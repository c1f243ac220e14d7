"""Before the server ends, let Prefect's services handle the messages that clients know as accepted.

Prefect acknowledges an event as soon as it is in a queue in memory; its services write it to the
database later. When they are told to stop, they drop what is still queued. What they do not handle
in time is saved on the volume, if there is one (`message_handover`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from roost_server.asgi import App, Message, Receive, Scope, Send
from roost_server.prefect_internals import TOPIC

# Part of the 20 s that a machine has to stop (stop_config): after open requests, before Litestream.
LIMIT_S = 6.0
LOOK_S = 0.05
# A message that was taken from a queue is still being written for a moment.
SETTLE_S = 0.25

Pending = Callable[[], int]
Save = Callable[[], int]


def drain_before_shutdown(
    app: App,
    pending: Pending | None = None,
    limit_s: float = LIMIT_S,
    save: Save | None = None,
) -> App:
    """Delay an application's shutdown until its queues are empty or the limit has passed.

    Args:
        app: the application.
        pending: returns the number of waiting messages; counts Prefect's own queues by default.
        limit_s: the longest delay, in seconds.
        save: moves the remaining messages to the volume and returns how many are saved.
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
        # Handling a message may create others, such as the action of an automation.
        await asyncio.sleep(SETTLE_S)
        if kept := save():
            print(f"roost: {kept} messages are saved on the volume for the next start", flush=True)
    if left := pending():
        print(f"roost: {left} messages were not handled before the end", flush=True)


def waiting_messages() -> int:
    """Return how many messages wait in Prefect's queues in memory; 0 with another broker."""
    topics = TOPIC.load()._topics.values()  # noqa: SLF001 - there is no public list of topics
    subscriptions = [each for topic in topics for each in topic._subscriptions]  # noqa: SLF001 - as above
    return sum(each._queue.qsize() + each._retry.qsize() for each in subscriptions)  # noqa: SLF001 - as above
