"""One app's listener: it accepts clients, routes their requests, and answers errors."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import h11

from localfly.errors import PortTakenError, UnroutableError
from localfly.proxy.autostop import AutostopSettings
from localfly.proxy.exchange import (
    AnswerCutError,
    BadRequestError,
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
from localfly.proxy.headers import Origin, find, own_answer
from localfly.proxy.http1 import Wire
from localfly.proxy.router import Router
from localfly.proxy.services import primary_region

if TYPE_CHECKING:
    from localfly.proxy.host import Host
    from localfly.proxy.router import Slot

_ADDRESS = "127.0.0.1"
_ATTEMPTS = 3  # for one request whose machine closes the connection; refused starts do not count
_CANNOT = 501
_BAD_GATEWAY = 502
_UNAVAILABLE = 503
_TIMEOUT = 408
# Errors that the proxy answers; after any other one, no response can be sent.
_ANSWERED_HERE = (
    BadRequestError,
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
        body_s: The longest pause within a body.
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
            self._server = await asyncio.start_server(self._accept, _ADDRESS, port or 0)
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

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; its errors affect no other one."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs the coroutine of a server in a task
        self._clients.add(task)
        client = Wire(h11.SERVER, reader, writer)
        try:
            await self._serve(client)
            await client.close()
        except (ClientGoneError, AnswerCutError, OSError, asyncio.CancelledError):
            # asyncio's server reports a cancelled task as an error (Python 3.11).
            client.abort()
        except Exception as error:  # noqa: BLE001 - an error of the proxy ends only this connection
            self._host.log(self._app, None, f"[PU04] internal error of the proxy: {error!r}")
            client.abort()
        finally:
            client.abort()
            self._clients.discard(task)

    async def _serve(self, client: Wire) -> None:
        """Answer requests until one side closes the connection."""
        while True:
            try:
                request = await self._next_request(client)
                if request is None:
                    return
                handed_over = await self._answer(client, request)
            except _ANSWERED_HERE as error:
                await self._reject(client, error)
                handed_over = False
            if handed_over:
                return
            if not client.try_next_cycle():
                await client.linger()
                return

    async def _next_request(self, client: Wire) -> h11.Request | None:
        """Return the head of the next request; None if the client is done."""
        try:
            async with asyncio.timeout(self._settings.head_s):
                event = await client.receive()
        except TimeoutError as error:
            if client.http.trailing_data[0]:
                raise SlowClientError from error
            return None
        except h11.RemoteProtocolError as error:
            if client.reader.at_eof():
                raise ClientGoneError from error
            raise BadRequestError(str(error), error.error_status_hint) from error
        if not isinstance(event, h11.Request):
            return None
        if event.method == b"CONNECT":
            raise BadRequestError("CONNECT is not served", _CANNOT)
        return event

    async def _answer(self, client: Wire, request: h11.Request) -> bool:
        """Find a machine for a request and pass on its response; retry if that is safe.

        Returns:
            True if the connection switched to another protocol, and has ended.
        """
        if len(self._clients) > self._settings.connections:
            raise UnroutableError("PR01", "too many clients are connected")
        exchange = self._exchange(client, request)
        give_up_at = asyncio.get_running_loop().time() + self._settings.hold_s
        force = find(request.headers, b"fly-force-instance-id")
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
        exchange.origin = replace(exchange.origin, region=slot.candidate.machine.region)
        try:
            if await exchange.deliver(machine, slot.candidate.service):
                await self._join(exchange.client, machine, slot)
                return True
        except BaseException:
            machine.abort()
            raise
        self.router.pool.keep(slot.target, machine)
        return False

    async def _connect(self, slot: Slot, give_up_at: float) -> Wire:
        """Connect to a machine once it listens."""
        try:
            return await self.router.pool.connect(slot.target)
        except OSError:
            await self.router.listening(slot, give_up_at)
        try:
            return await self.router.pool.connect(slot.target)
        except OSError as error:
            raise _MachineLeftError from error

    async def _join(self, client: Wire, machine: Wire, slot: Slot) -> None:
        """Join the client and the machine for a WebSocket."""
        tunnel = Tunnel(client, machine)
        slot.on_suspend = tunnel.close
        await tunnel.run()

    def _exchange(self, client: Wire, request: h11.Request) -> Exchange:
        body = Body(client, is_safe(request), self._settings.body_s)
        return Exchange(client, request, self._origin(client), body)

    def _origin(self, client: Wire) -> Origin:
        """Return the origin of a request; its region is the app's first."""
        peer = client.writer.get_extra_info("peername") or (_ADDRESS, 0)
        machines = self._host.machines(self._app)
        region = next((primary_region(m.config) or m.region for m in machines), "local")
        return Origin(
            app=self._app,
            client_ip=peer[0],
            port=self.port,
            region=region,
            request_id=f"{secrets.token_hex(13).upper()}-{region}",
        )

    async def _reject(self, client: Wire, error: Exception) -> None:
        """Send an error response of the proxy, if a response can still be sent."""
        status, code, reason = _explain(error)
        origin = self._origin(client)
        if code:
            self._host.log(self._app, None, f"[{code}] {reason} (request {origin.request_id})")
        if client.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            raise AnswerCutError(reason)
        text = f"{self._app}: {reason}.\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(text)).encode()),
            *own_answer(origin),
        ]
        with contextlib.suppress(h11.LocalProtocolError):
            await client.send(h11.Response(status_code=status, headers=headers))
            await client.send(h11.Data(data=text))
        with contextlib.suppress(h11.LocalProtocolError):
            await client.send(h11.EndOfMessage())


class _MachineLeftError(Exception):
    """The machine does not accept connections any more."""


def _explain(error: Exception) -> tuple[int, str, str]:
    """Return the status, Fly's code for the log, and a sentence for the client."""
    match error:
        case BadRequestError(status=status):
            return status, "", f"the request is not understood ({error})"
        case ReplayError():
            return _CANNOT, "PA03", "the machine answered with fly-replay, which is not served here"
        case SlowClientError():
            return _TIMEOUT, "", "the request did not come in time"
        case UnroutableError(code=code):
            return _UNAVAILABLE, code, f"{error}. Look at the app's log for {code}"
        case _:
            reason = f"the machine broke the connection before it answered ({error})"
            return _BAD_GATEWAY, "PU02", reason
