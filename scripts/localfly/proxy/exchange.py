"""Pass one request and its response between a client and a machine.

Both directions run at once: a response may start before the request is complete, and a client that
disconnects ends the request on the machine. The body of a safe request is kept while it is small, so
that it can be resent.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import h11

from localfly.proxy.headers import find, has_body, is_upgrade, to_client, to_machine
from localfly.proxy.http1 import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from localfly.proxy.headers import Origin
    from localfly.proxy.http1 import Wire
    from localfly.proxy.services import Service

T = TypeVar("T")

_SAFE = (b"GET", b"HEAD", b"OPTIONS", b"TRACE")
_REPLAY_BYTES = 1024 * 1024
_SWITCHING = 101
# A WebSocket close frame with 1001, "going away", which Fly sends before a suspend.
_GOING_AWAY = b"\x88\x02\x03\xe9"


class ClientGoneError(Exception):
    """The client closed the connection; no response can be sent."""


class SlowClientError(Exception):
    """The client did not send its request in time."""


class BadRequestError(Exception):
    """The request is not valid HTTP; `status` is the status to answer with."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class MachineFailedError(Exception):
    """The machine closed the connection before the first byte of a response."""


class AnswerCutError(Exception):
    """The machine closed the connection within a response, so the client's is cut as well."""


class ReplayError(Exception):
    """The machine asked for a replay on another machine, which is not supported."""


@dataclass
class Body:
    """The body of a request, which can be read again while it is small and safe."""

    client: Wire
    safe: bool
    timeout_s: float
    _kept: list[bytes] = field(default_factory=list)
    _size: int = 0
    _whole: bool = False

    @property
    def replayable(self) -> bool:
        """Whether the request may be resent from its beginning."""
        return self.safe and self._size <= _REPLAY_BYTES

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the parts read before, then new ones.

        Raises:
            BadRequestError: The body is not valid HTTP.
            SlowClientError: The client pauses for too long.
        """
        for chunk in self._kept:
            yield chunk
        while not self._whole:
            event = await self._next()
            if isinstance(event, h11.Data):
                yield self._keep(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._whole = True

    async def skip(self) -> None:
        """Read to the end of a request without a body."""
        async for _ in self.chunks():
            pass

    async def _next(self) -> object:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self.client.receive()
        except TimeoutError as error:
            raise SlowClientError from error
        except ConnectionError as error:
            raise ClientGoneError from error
        except h11.RemoteProtocolError as error:
            if self.client.reader.at_eof():
                raise ClientGoneError from error
            raise BadRequestError(str(error), error.error_status_hint) from error

    def _keep(self, chunk: bytes) -> bytes:
        self._size += len(chunk)
        if self.replayable:
            self._kept.append(chunk)
        else:
            self._kept.clear()
        return chunk


@dataclass
class Exchange:
    """One request; `deliver` may be called again while the body can be replayed."""

    client: Wire
    request: h11.Request
    origin: Origin
    body: Body
    answered: bool = False

    async def deliver(self, machine: Wire, service: Service) -> bool:
        """Send the request to a machine and its response to the client.

        Returns:
            True if the connection switched to another protocol (101).

        Raises:
            MachineFailedError: No byte of a response came; a retry is possible.
            ReplayError: The response is a `fly-replay`.
            AnswerCutError: The response is incomplete.
            ClientGoneError, SlowClientError, BadRequestError: The client is at fault.
        """
        sending = asyncio.create_task(self._send(machine))
        answering = asyncio.create_task(self._answer(machine, service))
        try:
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return await answering
            await sending
            raise ClientGoneError
        finally:
            await cancel(sending, answering)

    async def _send(self, machine: Wire) -> None:
        """Send the request, then watch the client until it hangs up.

        A machine that stops reading may still have responded; `_answer` handles that.
        """
        head = h11.Request(
            method=self.request.method,
            target=_origin_form(self.request.target),
            headers=to_machine(list(self.request.headers), self.origin),
        )
        with contextlib.suppress(OSError, h11.LocalProtocolError):
            if has_body(self.request.headers):
                await machine.send(head)
                async for chunk in self.body.chunks():
                    await machine.send(h11.Data(data=chunk))
                await machine.send(h11.EndOfMessage())
            else:
                await machine.send(head, h11.EndOfMessage())
                await self.body.skip()
        with contextlib.suppress(ConnectionError):
            await self.client.until_closed()

    async def _answer(self, machine: Wire, service: Service) -> bool:
        """Pass the response on as it arrives."""
        while True:
            events = await self._receive(machine)
            switching = getattr(events[-1], "status_code", None) == _SWITCHING
            try:
                passed = (self._translate(event, service) for event in events)
                await self.client.send(*(event for event in passed if event is not None))
            except OSError as error:
                raise ClientGoneError from error
            except h11.LocalProtocolError as error:
                raise AnswerCutError(str(error)) from error
            if switching or isinstance(events[-1], h11.EndOfMessage):
                return switching

    async def _receive(self, machine: Wire) -> list[Any]:
        try:
            events = await machine.receive_ready()
        except (OSError, h11.RemoteProtocolError) as error:
            failure = AnswerCutError if self.answered else MachineFailedError
            raise failure(str(error) or type(error).__name__) from error
        self.answered = True
        return events

    def _translate(self, event: object, service: Service) -> Any:
        """Return an event of the machine for the client; None if the client cannot handle it."""
        match event:
            case h11.InformationalResponse() if self.request.http_version == b"1.0":
                return None  # HTTP/1.0 has no interim responses
            case h11.InformationalResponse(status_code=code) if code != _SWITCHING:
                return event
            case h11.Response() if find(event.headers, b"fly-replay") is not None:
                raise ReplayError
            case h11.InformationalResponse() | h11.Response():
                switching = event.status_code == _SWITCHING
                headers = to_client(list(event.headers), self.origin, service, switching=switching)
                return type(event)(
                    status_code=event.status_code, headers=headers, reason=event.reason
                )
            case h11.EndOfMessage():
                return h11.EndOfMessage()  # without trailers, which the client may not accept
            case _:
                return event


class Tunnel:
    """Two connections joined byte for byte, as after a WebSocket handshake."""

    def __init__(self, client: Wire, machine: Wire) -> None:
        self._client = client
        self._machine = machine
        self._closing = asyncio.Event()

    async def run(self) -> None:
        """Pass bytes both ways until either side ends or the tunnel is closed."""
        pumps = [
            asyncio.create_task(_pump(self._client, self._machine)),
            asyncio.create_task(_pump(self._machine, self._client)),
            asyncio.create_task(self._closing.wait()),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(*pumps)
            await self._machine.close()

    def close(self) -> None:
        """Close the tunnel before a suspend; a WebSocket client gets a close frame."""
        self._client.writer.write(_GOING_AWAY)
        self._closing.set()


async def unless_gone(client: Wire, work: Coroutine[Any, Any, T]) -> T:
    """Run some work while the client stays connected.

    Raises:
        ClientGoneError: The client disconnected first, and the work was cancelled.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(client.until_closed())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        raise ClientGoneError
    finally:
        await cancel(working, watching)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for them; their results are ignored."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def is_safe(request: h11.Request) -> bool:
    """Return whether a request may be executed twice (RFC 9110 9.2.1); upgrades may not."""
    return request.method in _SAFE and not is_upgrade(list(request.headers))


def _origin_form(target: bytes) -> bytes:
    """Return the path of a request target, which may be a whole URL."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return target
    return b"/" + rest.partition(b"/")[2]


async def _pump(source: Wire, target: Wire) -> None:
    """Pass bytes one way until the end, starting with those read with the handshake."""
    early, ended = source.http.trailing_data
    with contextlib.suppress(OSError):
        target.writer.write(early)
        await target.writer.drain()
        while not ended and (data := await source.reader.read(CHUNK_BYTES)):
            target.writer.write(data)
            await target.writer.drain()
