"""Serve only the gate until it has proved the server, so that a restore loses no client's work.

The server starts in maintenance mode after a migration or a move to PostgreSQL, and on a volume that another machine wrote
last (a restored volume). Clients get a reply that makes them retry. Prefect's own client then
retries until the server is open: it does not count a reply with `Prefect-Maintenance` as an attempt
(prefect.client.base). Without a `Retry-After` it retries every second. An older client, which does
not know `Prefect-Maintenance`, retries for a minute; a `Retry-After` of 5 s would make it give up
after half a minute.

A socket is delayed instead of refused. Prefect's events client drops an event whose socket is
refused, and reconnects when a socket does not open in time (prefect.events.clients,
RETRYABLE_EXCEPTIONS).
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from roost_server.asgi import App, Message, Receive, Scope, Send, answer
from roost_server.idle_suspend import is_host_check
from roost_server.move_note import closed_since, finish_move
from roost_server.seed_database import flush
from roost_server.settings import uses_sqlite_file
from roost_server.upgrade import finish_upgrade, read_note

GATE_HEADER = b"x-roost-gate"
OPEN_PATH = "/roost/open"
# If no gate proves the server in this time, an available server is worth more than the way back.
LIMIT_S = 900
# Longer than a client waits for a socket to open (10 s), so that the client itself gives up and
# retries.
SOCKET_S = 15.0
LOOK_S = 0.1
MAINTENANCE = (b"prefect-maintenance", b"true")
AUTH_SETTING = "PREFECT_SERVER_API_AUTH_STRING"
OWNER = "machine-id"


class MaintenanceMode:
    """Whether the server is in maintenance mode, and the layer that turns clients away meanwhile.

    Args:
        home: the volume.
        environ: holds the id of this machine and the login.
        clock: returns seconds since 1970.
        on_open: called once, when the server accepts all clients.
        socket_s: how long a socket is delayed in maintenance mode, in seconds.
    """

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
        on_open: Callable[[], None] | None = None,
        socket_s: float = SOCKET_S,
    ) -> None:
        self._socket_s = socket_s
        self._home = home
        self._environ = environ
        self._clock = clock
        self._on_open = on_open
        self._closed_since: float | None = None
        if is_moved(home, environ):
            self._closed_since = clock()
        elif note := read_note(home):
            self._closed_since = note.began
        elif moved := closed_since(environ):
            self._closed_since = moved
        else:
            take_over(home, environ)
            self._notify_open()

    def is_open(self) -> bool:
        """Return whether all clients are accepted; maintenance mode ends after LIMIT_S."""
        if self._closed_since is not None and self._clock() - self._closed_since > LIMIT_S:
            print("roost: no gate proved this server in time; accepting all clients", flush=True)
            self.open()
        return self._closed_since is None

    def open(self) -> None:
        """Accept all clients: an upgrade becomes final, and the volume belongs to this machine."""
        self._closed_since = None
        finish_upgrade(self._home)
        finish_move(self._environ, self._clock())
        take_over(self._home, self._environ)
        self._notify_open()

    def _notify_open(self) -> None:
        on_open, self._on_open = self._on_open, None
        if on_open:
            on_open()

    def layer(self, app: App) -> App:
        """Pass on only the gate's requests and the host's checks in maintenance mode."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
            elif scope["type"] == "http" and from_gate(scope) and scope["path"] == OPEN_PATH:
                await self._answer_gate(scope, send)
            elif self.is_open() or from_gate(scope) or is_host_check(scope):
                await app(scope, receive, send)
            elif scope["type"] == "websocket":
                await self._delay_socket(app, scope, receive, send)
            else:
                await refuse(scope, send)

        return serve

    async def _delay_socket(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a socket on once the server is open; refuse it after `socket_s` seconds."""
        messages = iter([await receive()])
        if await self._is_disconnected(receive):
            return
        if not self.is_open():
            await refuse(scope, send)
            return

        async def receive_all() -> Message:
            return next(messages, None) or await receive()

        await app(scope, receive_all, send)

    async def _is_disconnected(self, receive: Receive) -> bool:
        """Wait until the server is open or the delay is over; return whether the client left.

        A client can send nothing but a disconnect before its socket is accepted.
        """
        leaving = asyncio.ensure_future(receive())
        ends = time.monotonic() + self._socket_s
        try:
            while not leaving.done() and not self.is_open() and time.monotonic() < ends:
                await asyncio.wait([leaving], timeout=LOOK_S)
        finally:
            leaving.cancel()
            await asyncio.wait([leaving])
        return not leaving.cancelled()

    async def _answer_gate(self, scope: Scope, send: Send) -> None:
        if not is_logged_in(scope, self._environ):
            await answer(send, 401)
            return
        self.open()
        await answer(send, 204)


def from_gate(scope: Scope) -> bool:
    """Return whether a request has the gate's header, which only bypasses maintenance mode."""
    return any(name == GATE_HEADER for name, _ in scope.get("headers", ()))


def is_logged_in(scope: Scope, environ: Mapping[str, str]) -> bool:
    """Return whether a request carries the server's login; True if the server has none."""
    login = environ.get(AUTH_SETTING, "")
    given = dict(scope["headers"]).get(b"authorization", b"")
    wanted = b"Basic " + base64.b64encode(login.encode())
    return not login or hmac.compare_digest(given, wanted)


def is_moved(home: Path, environ: Mapping[str, str]) -> bool:
    """Return whether another machine wrote this volume last, as after a restore or a copy."""
    try:
        owner = (home / OWNER).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return bool(owner) and owner != environ.get("FLY_MACHINE_ID", owner)


def take_over(home: Path, environ: Mapping[str, str]) -> None:
    """Write this machine's id on the volume."""
    machine = environ.get("FLY_MACHINE_ID", "")
    if not machine or not home.is_dir() or not uses_sqlite_file(environ):
        return
    aside = home / f"{OWNER}.new"
    aside.write_text(machine, encoding="utf-8")
    flush(aside)
    aside.replace(home / OWNER)
    flush(home)


async def refuse(scope: Scope, send: Send) -> None:
    """Turn a client away: it retries until the server is open."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013, "reason": "upgrading"})
    else:
        await answer(send, 503, MAINTENANCE)
