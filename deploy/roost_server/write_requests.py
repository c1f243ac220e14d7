"""Requests that write to SQLite are let in one at a time, and a busy database is waited out here.

Each then waits for its turn to write in the queue that it shares with Prefect's services
(`write_queue`). Here it waits before it takes anything of Prefect's, whose places for requests are
few. Another process may still write, as a continuous copy does: Prefect answers 503 when SQLite is
locked, having rolled its transaction back, and its own client then sends the request again. The same
is done here, nearer and sooner.

A client gives up after a while (Prefect's own after a minute) and sends its request again. What it
left while it waited here has not begun, so it is dropped: carried out, it would be there twice.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO

from roost_server.asgi import App, Message, Receive, Scope, Send
from roost_server.write_queue import ORIGIN, Origin

# These read, though they are sent with POST.
READS = (
    *("/filter", "/paginate", "/read", "/history", "/lateness", "/validate", "/next-runs"),
    *("/count", "/counts", "/count-deployments", "/count-task-runs", "/concurrency_status"),
)
COUNTS = re.compile(r"/events/count-by/[\w-]+$")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BUSY = 503
RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
KEPT_IN_MEMORY = 2**16  # bytes of one body; the rest waits in a file, as there may be a hundred
PART = 2**16
# Turns of the event loop that it takes to hear what is known already, through the layers around.
LOOKS = 3

Sleep = Callable[[float], Awaitable[None]]


def queue_requests(
    app: App,
    sleep: Sleep = asyncio.sleep,
    slot: asyncio.Semaphore | None = None,
    may_write: Callable[[Scope], bool] = lambda _: True,
) -> App:
    """Let one changing request at a time reach the database, and repeat it while that is busy.

    Args:
        app: what changes the database.
        sleep: between two tries.
        slot: the semaphore that each request takes before it is let in.
        may_write: says who is let in at all; of others, whom the application sends away, nothing is kept.
    """
    slot = slot or asyncio.Semaphore(1)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_write(scope) or not may_write(scope):
            await app(scope, receive, send)
            return
        ORIGIN.set(Origin.REQUEST)
        with closing(tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY)) as file:
            body = await read_body(receive, file)
            had_to_wait = slot.locked()
            async with slot:
                if had_to_wait and await is_disconnected(receive):
                    return
                await _retry(app, scope, body, send, sleep)

    return serve


def is_write(scope: Scope) -> bool:
    """Return whether a request may change the database."""
    if scope["type"] != "http" or scope["method"] not in WRITES:
        return False
    # Of other methods the last word may be a name: a variable may be called "count".
    path = str(scope["path"]).rstrip("/")
    reads = path.endswith(READS) or COUNTS.search(path)
    return scope["method"] != "POST" or not reads


@dataclass
class Body:
    """What a client sent, as often as it is asked for; and its leaving, if it left before the end."""

    receive: Receive
    file: IO[bytes]
    size: int
    left: Message | None = None

    def replay(self) -> Receive:
        """Return it once more from its start, and then what comes after it."""
        messages = self._messages()

        async def receive() -> Message:
            return next(messages, None) or await self.receive()

        return receive

    def _messages(self) -> Iterator[Message]:
        self.file.seek(0)
        rest = self.size
        while True:
            part = self.file.read(PART)
            rest -= len(part)
            more = rest > 0 or self.left is not None
            yield {"type": "http.request", "body": part, "more_body": more}
            if rest <= 0:
                break
        if self.left:
            yield self.left


async def is_disconnected(receive: Receive) -> bool:
    """Return whether a client that has sent its whole request is gone; nothing else can come of it."""
    message = asyncio.ensure_future(receive())
    for _ in range(LOOKS):
        await asyncio.sleep(0)
    message.cancel()
    await asyncio.wait([message])
    return not message.cancelled() and message.result()["type"] == "http.disconnect"


async def read_body(receive: Receive, file: IO[bytes]) -> Body:
    """Read a request's body before it takes its turn, so that a slow client holds nobody up."""
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return Body(receive, file, size, left=message)
        size += file.write(message.get("body", b""))
        if not message.get("more_body"):
            return Body(receive, file, size)


@dataclass
class Answer:
    """Passes an answer on, unless it begins with "busy" and may be asked for again."""

    send: Send
    retry_busy: bool
    busy: bool = False
    status: int = 0
    withheld: list[Message] = field(default_factory=list)

    async def __call__(self, message: Message) -> None:
        """Take one part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.busy = self.status == BUSY
        if self.busy and self.retry_busy:
            self.withheld.append(message)
        else:
            await self.send(message)


async def _retry(app: App, scope: Scope, body: Body, send: Send, sleep: Sleep) -> None:
    for seconds in (*RETRY_DELAYS_S, None):
        answer = Answer(send, retry_busy=seconds is not None)
        try:
            await app(dict(scope), body.replay(), answer)
        except Exception:
            # Prefect's framework answers, then raises for the log: the connection need not break.
            if not answer.busy:
                raise
        if not answer.withheld or seconds is None:
            return
        await sleep(seconds)
