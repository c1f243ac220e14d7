"""Note which request woke the server, for `roost doctor`: a server that never rests has somebody to thank.

Kept are the last few: the time, the path without its query, the user agent, and a part of the address. No
header that holds a secret is read. They are in the report while the server is awake, and in the machine's
metadata while it sleeps: one call before a sleep, and only if there is something new.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from roost_machine.metadata import read_metadata, write_metadata
from roost_machine.sleep_request import PROXY_HEADER
from roost_server.asgi import App, Receive, Scope, Send
from roost_server.last_error import LAST_ERROR

KEY = "roost_wakes"
KEPT = 8
LONGEST = 80
ADDRESS_HEADER = "fly-client-ip"


class WakeNotes:
    """The requests that came first after a start or a sleep; a kind of work that keeps nobody awake.

    Args:
        environ: holds the names of the app and the machine.
        clock: returns the time in seconds since the epoch.
        redact: removes the server's secrets from a text.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
        redact: Callable[[str], str] = LAST_ERROR.redact,
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._redact = redact
        self._wakes: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._waits = True
        self._is_new = False
        self._has_read = False

    def layer(self, app: App) -> App:
        """Note the first request that comes through the proxy; pass everything on."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if self._waits and scope["type"] in ("http", "websocket"):
                self._note(scope)
            await app(scope, receive, send)

        return serve

    def stays_awake(self) -> str | None:
        """Return None: a note keeps nobody awake."""
        return None

    async def prepare_sleep(self) -> bool:
        """Leave the notes where others read them, and wait for the next wake; the sleep goes on in any case."""
        self._waits = True
        if self._is_new and self._environ.get("FLY_MACHINE_ID"):
            await asyncio.to_thread(self._leave)
        return True

    def report(self) -> dict[str, Any]:
        """Return what `/roost/report` says of wakes."""
        return {"wakes": list(self._wakes)}

    def _note(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value for name, value in scope.get("headers", ())}
        if PROXY_HEADER not in headers:
            return  # one of Fly's own checks, which wake nobody
        self._waits = False
        self._is_new = True
        agent = headers.get("user-agent", b"").decode("latin-1")
        self._wakes.append(
            {
                "at": int(self._clock()),
                "path": self._redact(str(scope.get("path", "")))[:LONGEST],
                "agent": self._redact(agent)[:LONGEST],
                "from": shorten(headers.get(ADDRESS_HEADER, b"").decode("latin-1")),
            }
        )

    def _leave(self) -> None:
        """Write the notes, behind those of earlier starts of this machine."""
        if not self._has_read:
            self._read_earlier()
        if write_metadata(KEY, json.dumps(list(self._wakes)), self._environ):
            self._is_new = False

    def _read_earlier(self) -> None:
        found = read_metadata(self._environ)
        if found is None:
            return
        self._has_read = True
        try:
            earlier = json.loads(found.get(KEY) or "[]")
        except (TypeError, ValueError, RecursionError):
            return
        known = (
            [note for note in earlier if isinstance(note, dict)]
            if isinstance(earlier, list)
            else []
        )
        self._wakes = deque([*known, *self._wakes], maxlen=KEPT)


def shorten(address: str) -> str:
    """Return the network of an address: enough to tell an office from a monitor, and no person."""
    try:
        found = ipaddress.ip_address(address.strip())
    except ValueError:
        return ""
    if found.version == 4:  # noqa: PLR2004 - of IP
        return f"{address.strip().rpartition('.')[0]}.x"
    return f"{ipaddress.ip_network((found, 48), strict=False).network_address}/48"
