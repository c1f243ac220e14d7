"""One app's listener: it accepts clients, routes their requests, and answers errors."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localfly.errors import PortTakenError, UnroutableError
from localfly.proxy.autostop import AutostopSettings
from localfly.proxy.exchange import (
    AnswerCutError,
    Body,
    ClientGoneError,
    Exchange,
    MachineFailedError,
    ReplayError,
    SlowClientError,
    Tunnel,
    is_safe,
    unless_gone,
)
from localfly.proxy.headers import Origin, find, own_error
from localfly.proxy.messages import End, NotHttpError, Request
from localfly.proxy.router import Router
from localfly.proxy.services import primary_region
from localfly.proxy.wire import ClientWire, Signal

if TYPE_CHECKING:
    from localfly.proxy.host import Host
    from localfly.proxy.router import Slot
    from localfly.proxy.wire import MachineWire

_ADDRESS = "127.0.0.1"
_ATTEMPTS = 3  # for one request whose machine closes the connection; refused starts do not count
_CANNOT = 501
_BAD_GATEWAY = 502
_UNAVAILABLE = 503
_TIMEOUT = 408
# Errors that the proxy answers; after any other one, no response can be sent.
_ANSWERED_HERE = (
    NotHttpError,
    SlowClientError,
    UnroutableError,
    MachineFailedError,
    ReplayError,
)


@dataclass(frozen=True)
class ProxySettings:
    """The proxy's limits. Times are seconds.

    Attributes:
        hold_s: The longest time that a request waits for a machine.
        head_s: The longest time for the head of the next request.
        body_s: The longest pause within a body, and of a client that reads the end of a response.
        connections: The number of concurrent clients of an app (Fly, per edge: 2048).
    """

    hold_s: float = 60.0
    head_s: float = 60.0
    body_s: float = 60.0
    connections: int = 2048
    autostop: AutostopSettings = field(default_factory=AutostopSettings)


class AppListener:
    """The listener of one app, and its clients."""

    def __init__(self, app: str, host: Host, settings: ProxySettings) -> None:
        self.router = Router(app, host)
        self.port = 0
        self._app = app
        self._host = host
        self._settings = settings
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def open(self, port: int | None) -> None:
        """Listen on a port, or on a free one."""
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._new_client, _ADDRESS, port or 0)
        except OSError as error:
            raise PortTakenError(
                f"Port {port} of {self._app} is in use by another program.",
                advice="End that program, or let the app have another port.",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and disconnect every client."""
        if self._server is not None:
            self._server.close()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self.router.aclose()

    def _new_client(self) -> ClientWire:
        """Return the connection of a new client, which a task of its own serves."""
        client = ClientWire(Signal())
        task = asyncio.get_running_loop().create_task(self._accept(client))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        return client

    async def _accept(self, client: ClientWire) -> None:
        """Serve one connection; its errors affect no other one."""
        try:
            await self._serve(client)
            await client.close(self._settings.body_s)
        except (ClientGoneError, AnswerCutError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - an error of the proxy ends only this connection
            self._host.log(self._app, None, f"[PU04] internal error of the proxy: {error!r}")
        finally:
            client.reset()  # where it did not close above

    async def _serve(self, client: ClientWire) -> None:
        """Answer requests until one side closes the connection."""
        stays = True
        while stays:
            exchange = None
            try:
                request = await self._next_request(client)
                if request is None:
                    return
                exchange = self._exchange(client, request)
                if await self._answer(exchange):
                    return
                stays = exchange.stays
            except _ANSWERED_HERE as error:
                stays = self._reject(client, exchange, error)
            client.reader.read_on()
        await client.linger(self._settings.body_s)

    async def _next_request(self, client: ClientWire) -> Request | None:
        """Return the head of the next request; None if the client is done."""
        until = asyncio.get_running_loop().time() + self._settings.head_s
        while not client.events:
            if client.ended:
                return None
            if not await client.signal.wait(until):
                if client.reader.partial:
                    raise SlowClientError
                return None
        event = client.events.popleft()
        if isinstance(event, NotHttpError):
            raise event
        if not client.events:
            client.taken()  # its body may wait for this
        assert isinstance(event, Request)  # noqa: S101 - a request comes after the end of the last
        return event

    async def _answer(self, exchange: Exchange) -> bool:
        """Find a machine for a request and pass on its response; retry if that is safe.

        Returns:
            True if the connection switched to another protocol, and has ended.
        """
        if len(self._clients) > self._settings.connections:
            raise UnroutableError("PR01", "too many clients are connected")
        client = exchange.client
        give_up_at = asyncio.get_running_loop().time() + self._settings.hold_s
        force = find(exchange.request.headers, b"fly-force-instance-id")
        only = force.decode("ascii", "replace") if force else None
        failures = 0
        while True:
            slot = self.router.acquire_now(only=only)
            if slot is None:
                slot = await unless_gone(client, self.router.acquire(give_up_at, only=only))
            try:
                return await self._attempt(exchange, slot, give_up_at)
            except MachineFailedError as error:
                failures += 1
                self._host.log(self._app, slot.machine_id, f"[PU02] no answer came: {error}")
                if failures >= _ATTEMPTS or not exchange.body.replayable:
                    raise
            except _MachineLeftError:
                continue  # it stopped while the connection was made; try another one
            finally:
                self.router.release(slot)

    async def _attempt(self, exchange: Exchange, slot: Slot, give_up_at: float) -> bool:
        """Send a request to one machine."""
        safe = exchange.body.safe
        machine = self.router.pool.take(slot.target, safe=safe)
        if machine is None:
            machine = await unless_gone(exchange.client, self._connect(slot, give_up_at))
        exchange.origin.region = slot.candidate.machine.region
        try:
            if await exchange.deliver(machine, slot.candidate.service):
                await self._join(exchange.client, machine, slot)
                return True
        except BaseException:
            machine.abort()
            raise
        if exchange.body.whole:
            self.router.pool.keep(slot.target, machine)
        else:
            machine.abort()
        return False

    async def _connect(self, slot: Slot, give_up_at: float) -> MachineWire:
        """Connect to a machine once it listens."""
        try:
            return await self.router.pool.connect(slot.target)
        except OSError:
            await self.router.listening(slot, give_up_at)
        try:
            return await self.router.pool.connect(slot.target)
        except OSError as error:
            raise _MachineLeftError from error

    async def _join(self, client: ClientWire, machine: MachineWire, slot: Slot) -> None:
        """Join the client and the machine for a WebSocket."""
        tunnel = Tunnel(client, machine, self._settings.body_s)
        slot.on_suspend = tunnel.close
        await tunnel.run()

    def _exchange(self, client: ClientWire, request: Request) -> Exchange:
        body = Body(is_safe(request), self._settings.body_s)
        return Exchange(client, request, self._origin(client), body)

    def _origin(self, client: ClientWire) -> Origin:
        """Return the origin of a request; its region is known once it has a machine."""
        number = secrets.token_hex(13).upper()
        return Origin(self._app, client.peer, self.port, region="", number=number)

    def _region(self) -> str:
        """Return the app's first region, for a request that gets no machine."""
        machines = self._host.machines(self._app)
        return next((primary_region(m.config) or m.region for m in machines), "local")

    def _reject(self, client: ClientWire, exchange: Exchange | None, error: Exception) -> bool:
        """Send an error response of the proxy; return whether the connection can be used again.

        Raises:
            AnswerCutError: A part of a response was sent already.
        """
        status, code, reason = _explain(error)
        origin = exchange.origin if exchange else self._origin(client)
        origin.region = origin.region or self._region()
        if code:
            self._host.log(self._app, None, f"[{code}] {reason} (request {origin.request_id})")
        if exchange is not None and exchange.answering:
            raise AnswerCutError(reason)
        stays = exchange is not None and exchange.request.keeps_alive and _read_out(exchange)
        only_head = exchange is not None and exchange.request.method == b"HEAD"
        advice = f"See: localfly logs {self._app}\n" if code else ""
        text = f"{self._app}: {reason}.\n{advice}"
        client.write(own_error(origin, status, text, stays=stays, only_head=only_head))
        return stays


def _read_out(exchange: Exchange) -> bool:
    """Drop what came of a request's body; return whether that was all of it."""
    events = exchange.client.events
    whole = exchange.body.whole
    while events and not whole and not isinstance(events[0], NotHttpError):
        whole = isinstance(events.popleft(), End)
    if not events:
        exchange.client.taken()
    return whole


class _MachineLeftError(Exception):
    """The machine does not accept connections any more."""


def _explain(error: Exception) -> tuple[int, str, str]:
    """Return the status, Fly's code for the log, and a sentence for the client."""
    match error:
        case NotHttpError(status=status):
            return status, "", f"the request is not understood ({error})"
        case ReplayError():
            return _CANNOT, "PA03", "the machine answered with fly-replay, which is not served here"
        case SlowClientError():
            return _TIMEOUT, "", "the request did not come in time"
        case UnroutableError(code=code):
            return _UNAVAILABLE, code, f"no machine can take the request: {error} ({code})"
        case _:
            reason = f"the machine closed the connection before it answered ({error}; PU02)"
            return _BAD_GATEWAY, "PU02", reason
