"""Closed until proved: where one may have to go back, only the gate is let in, so that it loses nothing.

That is after a migration, and on a volume that another machine wrote last: a restored one. Clients
are told to come again. Prefect's own client does so until the server is open: it does not count an
answer that has `Prefect-Maintenance` among its tries (prefect.client.base). Without a `Retry-After`
it comes every second; an older client, which does not know the first header, comes for a minute,
where a `Retry-After` of 5 s would have it give up after half of one.

A socket is held instead. Prefect's events client drops an event whose socket is refused, and comes
again when a socket does not open in time (prefect.events.clients, RETRYABLE_EXCEPTIONS).
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
from roost_server.seed_database import flush
from roost_server.settings import uses_sqlite_file
from roost_server.upgrade import finish_upgrade, read_note

GATE_HEADER = b"x-roost-gate"
OPEN_PATH = "/roost/open"
# Should nobody come to prove it, a server that answers is worth more than the way back.
LIMIT_S = 900
# Longer than a client waits for a socket to open (10 s), so that it leaves by itself and comes again.
SOCKET_S = 15.0
LOOK_S = 0.1
MAINTENANCE = (b"prefect-maintenance", b"true")
AUTH_SETTING = "PREFECT_SERVER_API_AUTH_STRING"
OWNER = "machine-id"


class MaintenanceMode:
    """Whether this server is closed, and the layer that keeps it so.

    Args:
        home: the volume.
        environ: says whose it is, and who may log in.
        clock: gives seconds of 1970.
        on_open: is called once, when everybody is let in.
        socket_s: how long a socket is held while the server is closed.
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
        else:
            take_over(home, environ)
            self._notify_open()

    def is_open(self) -> bool:
        """Return whether everybody is let in; opens by itself when the limit has passed."""
        if self._closed_since is not None and self._clock() - self._closed_since > LIMIT_S:
            print("roost: nobody proved this server; opening to everybody", flush=True)
            self.open()
        return self._closed_since is None

    def open(self) -> None:
        """Let everybody in; an upgrade stands, and the volume is this machine's."""
        self._closed_since = None
        finish_upgrade(self._home)
        take_over(self._home, self._environ)
        self._notify_open()

    def _notify_open(self) -> None:
        on_open, self._on_open = self._on_open, None
        if on_open:
            on_open()

    def layer(self, app: App) -> App:
        """Let only the gate and the host's checks through while the server is closed."""

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
        """Let a socket open once the server is open; refuse it where that takes too long."""
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
        """Wait until the server is open, or for as long as a socket is held; say whether its client left.

        Before a socket is accepted, nothing else can come from a client.
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
    """Return whether a request is the gate's; it opens no door but this one."""
    return any(name == GATE_HEADER for name, _ in scope.get("headers", ()))


def is_logged_in(scope: Scope, environ: Mapping[str, str]) -> bool:
    """Return whether a request carries the server's login; where there is none, every one does."""
    login = environ.get(AUTH_SETTING, "")
    given = dict(scope["headers"]).get(b"authorization", b"")
    wanted = b"Basic " + base64.b64encode(login.encode())
    return not login or hmac.compare_digest(given, wanted)


def is_moved(home: Path, environ: Mapping[str, str]) -> bool:
    """Return whether another machine wrote this volume last: it was restored, or copied."""
    try:
        owner = (home / OWNER).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return bool(owner) and owner != environ.get("FLY_MACHINE_ID", owner)


def take_over(home: Path, environ: Mapping[str, str]) -> None:
    """Note on the volume that it is this machine's."""
    machine = environ.get("FLY_MACHINE_ID", "")
    if not machine or not home.is_dir() or not uses_sqlite_file(environ):
        return
    aside = home / f"{OWNER}.new"
    aside.write_text(machine, encoding="utf-8")
    flush(aside)
    aside.replace(home / OWNER)
    flush(home)


async def refuse(scope: Scope, send: Send) -> None:
    """Send a client away for a moment."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013, "reason": "upgrading"})
    else:
        await answer(send, 503, MAINTENANCE)
