"""Closed until proved: after a migration only the gate is let in, so that going back loses nothing.

Clients are told to come again, which Prefect's own do for about a minute.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from roost_server.asgi import App, Receive, Scope, Send
from roost_server.quiet import is_host_check
from roost_server.upgrade import read_note, settle

GATE_HEADER = b"x-roost-gate"
OPEN_PATH = "/roost/open"
# Should nobody come to prove it, a server that answers is worth more than the way back.
LIMIT_S = 900
AUTH_SETTING = "PREFECT_SERVER_API_AUTH_STRING"


class Probation:
    """Whether this server is closed, and the layer that keeps it so."""

    def __init__(
        self, home: Path, environ: Mapping[str, str], clock: Callable[[], float] = time.time
    ) -> None:
        self._home = home
        self._clock = clock
        self._note = read_note(home)
        login = environ.get(AUTH_SETTING, "")
        self._wanted = b"Basic " + base64.b64encode(login.encode()) if login else b""

    def is_open(self) -> bool:
        """Say whether everybody is let in; opens by itself when the limit has passed."""
        if self._note and self._clock() - self._note.began > LIMIT_S:
            print("roost: nobody proved the upgrade; opening to everybody", flush=True)
            self.open()
        return self._note is None

    def open(self) -> None:
        """Let everybody in, and let the upgrade stand."""
        self._note = None
        settle(self._home)

    def layer(self, app: App) -> App:
        """Let only the gate and the host's checks through while the server is closed."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
            elif from_gate(scope) and scope["path"] == OPEN_PATH:
                await self._answer_gate(scope, send)
            elif self.is_open() or from_gate(scope) or is_host_check(scope):
                await app(scope, receive, send)
            else:
                await refuse(scope, send)

        return serve

    async def _answer_gate(self, scope: Scope, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if self._wanted and not hmac.compare_digest(given, self._wanted):
            await answer(send, 401)
            return
        self.open()
        await answer(send, 204)


def from_gate(scope: Scope) -> bool:
    """Say whether a request is the gate's; it opens no door but this one."""
    return any(name == GATE_HEADER for name, _ in scope.get("headers", ()))


async def refuse(scope: Scope, send: Send) -> None:
    """Send a client away for a moment."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013, "reason": "upgrading"})
    else:
        await answer(send, 503, (b"retry-after", b"5"))


async def answer(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    """Answer with a status and no body."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b""})
