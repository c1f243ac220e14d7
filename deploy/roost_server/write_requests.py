"""Let one changing request at a time reach Prefect, and retry it here while SQLite is busy.

Each request then waits in the queue that it shares with Prefect's services (`write_queue`). It
waits here first because Prefect has few places for requests. Another process may still write, as
Litestream does. Prefect then rolls its transaction back and answers 503, and its own client sends
the request again. This layer does the same, sooner.

A client gives up after a while (Prefect's own after a minute) and sends its request again. A
request that its client left while it waited here is dropped: executed, its effect would exist
twice.
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

# Requests that only read, although their method is POST.
READS = (
    *("/filter", "/paginate", "/read", "/history", "/lateness", "/validate", "/next-runs"),
    *("/count", "/counts", "/count-deployments", "/count-task-runs", "/concurrency_status"),
)
COUNTS = re.compile(r"/events/count-by/[\w-]+$")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BUSY = 503
RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
KEPT_IN_MEMORY = 2**16  # bytes of one body; the rest is in a file, as a hundred requests may wait
PART = 2**16
# Iterations of the event loop until a pending disconnect has passed the layers around this one.
LOOKS = 3

Sleep = Callable[[float], Awaitable[None]]


def queue_requests(
    app: App,
    sleep: Sleep = asyncio.sleep,
    slot: asyncio.Semaphore | None = None,
    may_write: Callable[[Scope], bool] = lambda _: True,
) -> App:
    """Let one changing request at a time reach the database, and retry it while that is busy.

    Args:
        app: the application that changes the database.
        sleep: called between two attempts.
        slot: the semaphore that each request takes.
        may_write: returns whether a request may change anything; the body of others is not stored.
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
    # The last part of a path may be a user's name with other methods: a variable may be named
    # "count".
    path = str(scope["path"]).rstrip("/")
    reads = path.endswith(READS) or COUNTS.search(path)
    return scope["method"] != "POST" or not reads


@dataclass
class Body:
    """The body of a request, which can be read several times, and an early disconnect."""

    receive: Receive
    file: IO[bytes]
    size: int
    disconnect: Message | None = None

    def replay(self) -> Receive:
        """Return a `receive` that starts with the body and continues with what follows it."""
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
            more = rest > 0 or self.disconnect is not None
            yield {"type": "http.request", "body": part, "more_body": more}
            if rest <= 0:
                break
        if self.disconnect:
            yield self.disconnect


async def is_disconnected(receive: Receive) -> bool:
    """Return whether the client has disconnected; after a whole request nothing else can follow."""
    message = asyncio.ensure_future(receive())
    for _ in range(LOOKS):
        await asyncio.sleep(0)
    message.cancel()
    await asyncio.wait([message])
    return not message.cancelled() and message.result()["type"] == "http.disconnect"


async def read_body(receive: Receive, file: IO[bytes]) -> Body:
    """Read a request's body before it takes its slot, so that a slow client delays no other."""
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return Body(receive, file, size, disconnect=message)
        size += file.write(message.get("body", b""))
        if not message.get("more_body"):
            return Body(receive, file, size)


@dataclass
class Answer:
    """Passes a reply on, but withholds one with status 503 if the request may be retried."""

    send: Send
    retry_busy: bool
    busy: bool = False
    status: int = 0
    withheld: list[Message] = field(default_factory=list)

    async def __call__(self, message: Message) -> None:
        """Handle one message of the reply."""
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
            # Prefect's framework raises after it has replied; the connection need not be closed.
            if not answer.busy:
                raise
        if not answer.withheld or seconds is None:
            return
        await sleep(seconds)
