"""Pass one request and its response between a client and a machine.

One task serves a client. It moves what either side sent to the other, both ways at once: a response may
start before the request is complete, and a client that disconnects ends the request on the machine. The
body of a safe request is kept while it is small, so that it can be resent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from localfly.proxy.headers import find, to_client, to_client_first, to_machine, trailers
from localfly.proxy.messages import SWITCHING, End, NotHttpError, Request, Response

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from localfly.proxy.headers import Origin
    from localfly.proxy.messages import Event, Headers
    from localfly.proxy.services import Service
    from localfly.proxy.wire import ClientWire, MachineWire, Wire

T = TypeVar("T")

_SAFE = (b"GET", b"HEAD", b"OPTIONS", b"TRACE")
_REPLAY_BYTES = 1024 * 1024
_LARGE_BYTES = 64 * 1024  # of a body: the rest is passed on without a look at its parts
# A WebSocket close frame with 1001, "going away", which Fly sends before a suspend.
_GOING_AWAY = b"\x88\x02\x03\xe9"


class ClientGoneError(Exception):
    """The client closed the connection; no response can be sent."""


class SlowClientError(Exception):
    """The client did not send its request in time."""


class MachineFailedError(Exception):
    """The machine closed the connection before the first byte of a response."""


class AnswerCutError(Exception):
    """The machine closed the connection within a response, so the client's is cut as well."""


class ReplayError(Exception):
    """The machine asked for a replay on another machine, which is not supported."""


@dataclass
class Body:
    """The body of a request, which can be sent again while it is small and safe."""

    safe: bool
    timeout_s: float
    whole: bool = False
    _kept: list[bytes | End] = field(default_factory=list)
    _size: int = 0

    @property
    def replayable(self) -> bool:
        """Whether the request may be resent from its beginning."""
        return self.safe and self._size <= _REPLAY_BYTES

    @property
    def size(self) -> int:
        """How many bytes of it were sent so far."""
        return self._size

    @property
    def kept(self) -> list[bytes | End]:
        """What was sent before and is sent again."""
        return list(self._kept)

    def keep(self, event: bytes | End) -> None:
        """Note what is sent to a machine."""
        if isinstance(event, End):
            self.whole = True
        else:
            self._size += len(event)
        if self.replayable:
            self._kept.append(event)
        else:
            self._kept.clear()


@dataclass
class Exchange:
    """One request; `deliver` may be called again while the body can be replayed.

    Attributes:
        answering: Whether a part of the last response was sent to the client.
    """

    client: ClientWire
    request: Request
    origin: Origin
    body: Body
    answering: bool = False
    _last_status: int | None = None
    _chunked: bool = False  # how the response is framed for the client
    _left: int = 0  # bytes of the response's body that are to come, where its length was told
    _silent_until: float = 0.0
    _left_before: int = 0  # of a large upload, when its client was last expected to send

    @property
    def stays(self) -> bool:
        """Whether the client's connection can be used again after the response."""
        return self.request.keeps_alive and self.body.whole

    async def deliver(self, machine: MachineWire, service: Service) -> bool:
        """Send the request to a machine and its response to the client.

        Returns:
            True if the connection switched to another protocol (101).

        Raises:
            MachineFailedError: No byte of a response came; a retry is possible.
            ReplayError: The response is a `fly-replay`.
            AnswerCutError: The response is incomplete.
            ClientGoneError, SlowClientError, NotHttpError: The client is at fault.
        """
        machine.begin(self.request.method, self.client.signal)
        machine.write(self._head_for_machine())
        for event in self.body.kept:
            machine.write(self._for_machine(event))
        self._expect_more()
        while True:
            self._pass_request(machine)
            status = self._pass_response(machine, service)
            if status is not None:
                return status == SWITCHING
            if self.client.ended:
                raise ClientGoneError
            waits = not self.body.whole and machine.writable
            until = self._silent_until if waits else None
            if not await self.client.signal.wait(until):
                self._check_upload()

    def _pass_request(self, machine: MachineWire) -> None:
        """Send what came of the body, while the machine reads it."""
        client = self.client
        if client.left and machine.writable:
            client.taken()
        if self.body.whole or not client.events:
            return
        while client.events and machine.writable and not self.body.whole:
            event = client.events[0]
            if isinstance(event, NotHttpError):
                raise event
            client.events.popleft()
            assert isinstance(event, (bytes, End))  # noqa: S101 - the reader gives a head only after an end
            self.body.keep(event)
            machine.write(self._for_machine(event))
        if not client.events:
            if (left := self._left_of_upload()) > _LARGE_BYTES:
                client.forward(machine, left)
            client.taken()
        self._expect_more()

    def _left_of_upload(self) -> int:
        """Return how many bytes are to come of a body that nobody looks at; 0 where it is kept."""
        if self.body.whole or self.body.replayable:
            return 0
        return (self.request.length or 0) - self.body.size

    def _pass_response(self, machine: MachineWire, service: Service) -> int | None:
        """Send what came of the response; return the status of the last one once it is whole."""
        pieces: list[bytes] = []
        status = self._last_status
        whole = False
        while machine.events and self.client.writable and not whole:
            event = machine.events.popleft()
            whole = isinstance(event, End) and status is not None
            pieces.append(self._for_client(event, service))
            status = self._last_status
        if pieces:
            self.client.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if not machine.events and self.client.writable:
            if self._left > _LARGE_BYTES and not machine.left:
                machine.forward(self.client, self._left)
                self._left = 0
            machine.taken()
        if whole or status == SWITCHING:
            return status
        if machine.ended and not machine.events:
            self._machine_left("the connection was closed")
        return None

    def _for_client(self, event: Event, service: Service) -> bytes:
        """Return the bytes of an event for the client; none where the client cannot handle it."""
        match event:
            case bytes():
                self._left -= len(event)
                return b"%x\r\n%b\r\n" % (len(event), event) if self._chunked else event
            case End(trailers=lines):
                last = self._last_status is not None and self._chunked
                return b"0\r\n%b\r\n" % _lines(trailers(lines)) if last else b""
            case Response() if event.interim:
                # HTTP/1.0 has no interim responses.
                headers = to_client_first(event.headers)
                return _head(event, headers) if self.request.version != "1.0" else b""
            case Response():
                return self._answer_head(event, service)
            case NotHttpError():
                self._machine_left(str(event))
            case Request():
                pass  # no machine sends one
        raise AssertionError(event)

    def _answer_head(self, head: Response, service: Service) -> bytes:
        if find(head.headers, b"fly-replay") is not None:
            raise ReplayError
        switching = head.status == SWITCHING
        if switching and not self.request.is_upgrade:
            self._machine_left("it changed to a protocol that nobody asked for")
        self._last_status = head.status
        self.answering = True
        self._left = (head.length or 0) if head.has_body else 0
        self._chunked = head.chunked or head.until_closed
        headers = to_client(head.headers, self.origin, service, switching=switching)
        if self.request.version == "1.0":  # it ends with the connection
            headers = [header for header in headers if header[0] != b"transfer-encoding"]
            self._chunked = False
        elif head.until_closed:
            headers.append((b"transfer-encoding", b"chunked"))
        self._chunked = self._chunked and head.has_body
        if not self.request.keeps_alive and not switching:
            headers.append((b"connection", b"close"))
        return _head(head, headers)

    def _machine_left(self, reason: str) -> None:
        raise (AnswerCutError if self.answering else MachineFailedError)(reason)

    def _head_for_machine(self) -> bytes:
        request = self.request
        headers = to_machine(request.headers, self.origin, upgrade=request.is_upgrade)
        target = _origin_form(request.target)
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method, target, _lines(headers))

    def _for_machine(self, event: bytes | End) -> bytes:
        if isinstance(event, End):
            return (
                b"0\r\n%b\r\n" % _lines(trailers(event.trailers)) if self.request.chunked else b""
            )
        return b"%x\r\n%b\r\n" % (len(event), event) if self.request.chunked else event

    def _check_upload(self) -> None:
        """See whether the client was silent, or sent what is passed on as it comes."""
        if self.client.left == self._left_before:
            raise SlowClientError
        self._expect_more()

    def _expect_more(self) -> None:
        self._left_before = self.client.left
        self._silent_until = asyncio.get_running_loop().time() + self.body.timeout_s


class Tunnel:
    """Two connections joined byte for byte, as after a WebSocket handshake."""

    def __init__(self, client: ClientWire, machine: MachineWire, pause_s: float) -> None:
        self._client = client
        self._machine = machine
        self._pause_s = pause_s
        self._closing = False

    async def run(self) -> None:
        """Pass bytes both ways until either side ends or the tunnel is closed."""
        client, machine = self._client, self._machine
        client.tunnel(client.reader.take_rest())
        machine.tunnel(machine.reader.take_rest() if machine.reader else b"")
        try:
            while not (self._closing or _pumped_out(client, machine)):
                await client.signal.wait()
        finally:
            await machine.close(0 if self._closing else self._pause_s)
            machine.abort()

    def close(self) -> None:
        """Close the tunnel before a suspend; a WebSocket client gets a close frame."""
        self._client.write(_GOING_AWAY)
        self._closing = True
        self._client.signal.set()


async def unless_gone(client: ClientWire, work: Coroutine[Any, Any, T]) -> T:
    """Run some work while the client stays connected.

    Raises:
        ClientGoneError: The client disconnected first, and the work was cancelled.
    """
    working = asyncio.create_task(work)
    working.add_done_callback(lambda _: client.signal.set())
    try:
        while not working.done():
            if client.ended:
                raise ClientGoneError
            await client.signal.wait()
        return await working
    finally:
        await cancel(working)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for them; their results are ignored."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def is_safe(request: Request) -> bool:
    """Return whether a request may be executed twice (RFC 9110 9.2.1); upgrades may not."""
    return request.method in _SAFE and not request.is_upgrade


def _pumped_out(client: Wire, machine: Wire) -> bool:
    """Pass on what came; return whether one side has ended and all of it was passed on."""
    over = False
    for source, target in ((client, machine), (machine, client)):
        while source.events and target.writable:
            data = source.events.popleft()
            assert isinstance(data, bytes)  # noqa: S101 - a tunnel has no other events
            target.write(data)
        if not source.events:
            source.taken()
            over = over or source.ended
    return over


def _head(head: Response, headers: Headers) -> bytes:
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (head.status, head.reason, _lines(headers))


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def _origin_form(target: bytes) -> bytes:
    """Return the path of a request target, which may be a whole URL."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return target
    return b"/" + rest.partition(b"/")[2]
