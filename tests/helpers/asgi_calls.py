"""A client for ASGI applications, and an application with scripted answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from roost_server.asgi import App, Message, Receive, Scope, Send

DISCONNECT: Message = {"type": "http.disconnect"}


def http(method: str = "POST", path: str = "/api/flows/", **headers: str) -> Scope:
    """Return the scope of a request; a header's name is a keyword with `_` for `-`."""
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": pairs}


def chunks(*bodies: bytes) -> list[Message]:
    """Return a request's body that comes in these parts."""
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": at < last}
        for at, body in enumerate(bodies)
    ]


@dataclass
class Client:
    """A client that sends its messages, then stays connected until `leave`, and records what it receives."""

    sends: list[Message] = field(default_factory=lambda: chunks(b""))
    got: list[Message] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, app: App, scope: Scope | None = None) -> Client:
        """Call an application with a request."""
        await app(scope or http(), self.receive, self.send)
        return self

    async def receive(self) -> Message:
        """Return the application the next message."""
        if not self.sends:
            await self.gone.wait()
            return DISCONNECT
        return self.sends.pop(0)

    def leave(self) -> None:
        """Disconnect once all messages are sent."""
        self.gone.set()

    async def send(self, message: Message) -> None:
        """Record a message from the application."""
        self.got.append(message)

    @property
    def statuses(self) -> list[int]:
        """Every status received; a valid answer has one."""
        return [message["status"] for message in self.got if "status" in message]

    @property
    def body(self) -> bytes:
        """The body received so far."""
        return b"".join(message.get("body", b"") for message in self.got)


async def body_of(receive: Receive) -> bytes:
    """Read a request's body, as a framework does."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client is gone")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send, status: int, body: bytes = b"") -> None:
    """Answer in two parts, as a framework does."""
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@dataclass
class Scripted:
    """Answers each call with the next status, numbered, and then raises if there is an exception.

    It records the bodies that it receives.
    """

    script: list[int | Exception | tuple[int, Exception]]
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        step = self.script[len(self.bodies)]
        self.bodies.append(await body_of(receive))
        status, error = step if isinstance(step, tuple) else (step, None)
        if isinstance(status, Exception):
            raise status
        await answer(send, status, b"answer %d" % len(self.bodies))
        if error:
            raise error
