"""Watch for quiet, then put the machine to sleep through its own API socket."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from roost_server.middleware import App, Receive, Scope, Send

ACTIONS = ("suspend", "stop")
LOOK_S = 0.5
FIRST_BACKOFF_S, LAST_BACKOFF_S = 5.0, 300.0
# The proxy's requests carry this header; Fly's own health checks come without it.
PROXY_HEADER = b"fly-request-id"


@dataclass
class Activity:
    """What keeps the server awake: requests and sockets that came through the proxy."""

    open: int = 0
    last: float = 0.0

    def layer(self, app: App) -> App:
        """Count what is in flight through an application."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket") or is_host_check(scope):
                await app(scope, receive, send)
                return
            self.open += 1
            try:
                await app(scope, receive, send)
            finally:
                self.open -= 1
                self.last = time.monotonic()

        return serve

    def quiet_s(self) -> float:
        """Give the seconds since the last activity; 0 while there is some."""
        return 0.0 if self.open else time.monotonic() - self.last


def is_host_check(scope: Scope) -> bool:
    """Say whether a request is a health check of the host, which must not keep us awake."""
    names = {name for name, _ in scope.get("headers", ())}
    return scope.get("path") in ("/api/health", "/api/ready") and PROXY_HEADER not in names


async def watch(activity: Activity, environ: Mapping[str, str]) -> None:
    """Sleep whenever it has been quiet for long enough; runs as long as the server."""
    action = environ.get("ROOST_IDLE_ACTION", "off")
    limit = float(environ.get("ROOST_IDLE_AFTER_S", "300"))
    activity.last = time.monotonic()
    backoff = FIRST_BACKOFF_S
    while action in ACTIONS:
        await asyncio.sleep(min(LOOK_S, limit))
        if activity.quiet_s() < limit:
            continue
        done = await ask(action, environ)
        if done:
            backoff = FIRST_BACKOFF_S
            # Where it worked, this line runs after the wake; where not, quiet begins anew.
            await asyncio.sleep(LOOK_S)
        else:
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_S)
        activity.last = time.monotonic()


async def ask(action: str, environ: Mapping[str, str]) -> bool:
    """Ask Fly to suspend or stop this very machine; say whether it agreed."""
    socket = environ.get("FLY_API_SOCKET", "/.fly/api")
    machine = f"/v1/apps/{environ.get('FLY_APP_NAME')}/machines/{environ.get('FLY_MACHINE_ID')}"
    head = f"POST {machine}/{action} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_unix_connection(socket)
            writer.write(head.encode())
            status = (await reader.readline()).decode("latin-1").split(" ")
            writer.close()
    except (OSError, TimeoutError) as error:
        print(f"roost: cannot ask to {action}: {error}", file=sys.stderr)
        return False
    agreed = len(status) > 1 and status[1].startswith("2")
    print(
        f"roost: {action} after quiet: {'agreed' if agreed else 'refused ' + ' '.join(status).strip()}"
    )
    return agreed
