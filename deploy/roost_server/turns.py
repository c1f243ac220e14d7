"""One write at a time on SQLite, and a busy database waited out here instead of by the client.

Prefect answers 503 when SQLite is locked, having rolled its transaction back; its own client then
sends the request again. Background services write too and take no turn, so the same is done here,
nearer and sooner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from roost_server.asgi import App, Message, Receive, Scope, Send

# These read, though they are sent with POST.
READS = ("/filter", "/count", "/history", "/paginate", "/count-by", "/lateness", "/read")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BUSY = 503
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
LARGEST_KEPT = 2**20  # bytes of a body; a larger one is passed on as it comes, and not repeated

Pause = Callable[[float], Awaitable[None]]


def write_in_turn(
    app: App, pause: Pause = asyncio.sleep, turn: asyncio.Semaphore | None = None
) -> App:
    """Let one changing request at a time reach the database, and repeat it while that is busy.

    Args:
        app: what changes the database.
        pause: between two tries.
        turn: what each request takes, where others take it too.
    """
    turn = turn or asyncio.Semaphore(1)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_write(scope):
            await app(scope, receive, send)
            return
        body = await read_body(receive)
        async with turn:
            await _repeat(app, scope, body, send, pause)

    return serve


def is_write(scope: Scope) -> bool:
    """Say whether a request may change the database."""
    if scope["type"] != "http" or scope["method"] not in WRITES:
        return False
    # Of other methods the last word may be a name: a variable may be called "count".
    reads = scope["method"] == "POST" and str(scope["path"]).rstrip("/").endswith(READS)
    return not reads


@dataclass
class Body:
    """What a client sent: as far as it was read, and where the rest comes from."""

    receive: Receive
    read: list[Message]
    whole: bool

    def replay(self) -> Receive:
        """Give it once more from its start; what cannot be given again is not kept either."""
        messages = iter(self.read) if self.whole else _taken(self.read)

        async def receive() -> Message:
            return next(messages, None) or await self.receive()

        return receive


def _taken(messages: list[Message]) -> Iterator[Message]:
    while messages:
        yield messages.pop(0)


async def read_body(receive: Receive) -> Body:
    """Read a request's body before it takes its turn, so that a slow client holds nobody up."""
    read: list[Message] = []
    size = 0
    while size <= LARGEST_KEPT:
        message = await receive()
        read.append(message)
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return Body(receive, read, whole=True)
    return Body(receive, read, whole=False)


@dataclass
class Answer:
    """Passes an answer on, unless it begins with "busy" and may be asked for again."""

    send: Send
    hold_busy: bool
    busy: bool = False
    status: int = 0
    held: list[Message] = field(default_factory=list)

    async def __call__(self, message: Message) -> None:
        """Take one part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.busy = self.status == BUSY
        if self.busy and self.hold_busy:
            self.held.append(message)
        else:
            await self.send(message)


async def _repeat(app: App, scope: Scope, body: Body, send: Send, pause: Pause) -> None:
    for seconds in (*PAUSES_S, None) if body.whole else (None,):
        answer = Answer(send, hold_busy=seconds is not None)
        try:
            await app(dict(scope), body.replay(), answer)
        except Exception:
            # Prefect's framework answers, then raises for the log: the connection need not break.
            if not answer.busy:
                raise
        if not answer.held or seconds is None:
            return
        await pause(seconds)
