"""One request and its answer, carried between a client and a machine as they come.

Both directions run at once: an answer may come before the request is whole, and a client that hangs
up ends the work behind it. What was read of a safe request is kept, so that it can be sent again.
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
# A WebSocket close frame with 1001, "going away": what Fly sends before it suspends a machine.
_GOING_AWAY = b"\x88\x02\x03\xe9"


class ClientGoneError(Exception):
    """The client hung up; there is nobody to answer."""


class SlowClientError(Exception):
    """The client did not send what it announced in time."""


class BadRequestError(Exception):
    """What the client sends is not HTTP; `status` is what to answer."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class MachineFailedError(Exception):
    """The machine broke the connection before the first byte of an answer."""


class AnswerCutError(Exception):
    """The machine broke the connection within an answer: all that is left is to cut ours too."""


class ReplayError(Exception):
    """The machine asks Fly to send the request elsewhere, which is not done here."""


@dataclass
class Body:
    """What follows the head of a client's request, readable again while it is small and safe."""

    client: Wire
    safe: bool
    timeout_s: float
    _kept: list[bytes] = field(default_factory=list)
    _size: int = 0
    _whole: bool = False

    @property
    def replayable(self) -> bool:
        """Whether the request may be sent again from its beginning."""
        return self.safe and self._size <= _REPLAY_BYTES

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what was read before, then what comes.

        Raises:
            BadRequestError: The client breaks the framing.
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
        """Read on to the end of a request that has no body."""
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
    """One request on its way; `deliver` may be called again as long as it can be replayed."""

    client: Wire
    request: h11.Request
    origin: Origin
    body: Body
    answered: bool = False

    async def deliver(self, machine: Wire, service: Service) -> bool:
        """Send the request to a machine and its answer to the client.

        Returns:
            True when the connection was handed over to another protocol (101).

        Raises:
            MachineFailedError: No byte of an answer came; another attempt may be made.
            ReplayError: The answer is a `fly-replay`.
            AnswerCutError: The answer broke off.
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

        A machine that stops listening may still have answered: that is for the other direction.
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
        """Pass the answer on as it comes."""
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
        """Say to the client what the machine said; None where the client would not understand."""
        match event:
            case h11.InformationalResponse() if self.request.http_version == b"1.0":
                return None  # a client of 1.0 knows no interim answers
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
                return h11.EndOfMessage()  # without trailers, which the client may not take
            case _:
                return event


class Tunnel:
    """Two connections joined byte for byte, as after a WebSocket's handshake."""

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
        """End it because the machine goes to sleep; a WebSocket client is told so."""
        self._client.writer.write(_GOING_AWAY)
        self._closing.set()


async def unless_gone(client: Wire, work: Coroutine[Any, Any, T]) -> T:
    """Do some work as long as the client is there.

    Raises:
        ClientGoneError: It hung up first, and the work was given up.
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
    """End tasks and wait for them; what they still say is of no interest."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def is_safe(request: h11.Request) -> bool:
    """Report whether a request may be carried out twice (RFC 9110 9.2.1), upgrades excepted."""
    return request.method in _SAFE and not is_upgrade(list(request.headers))


def _origin_form(target: bytes) -> bytes:
    """Turn a request for a whole URL, as made to a proxy, into one for its path."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return target
    return b"/" + rest.partition(b"/")[2]


async def _pump(source: Wire, target: Wire) -> None:
    """Pass bytes one way until the end; first what was read along with the handshake."""
    early, ended = source.http.trailing_data
    with contextlib.suppress(OSError):
        target.writer.write(early)
        await target.writer.drain()
        while not ended and (data := await source.reader.read(CHUNK_BYTES)):
            target.writer.write(data)
            await target.writer.drain()
