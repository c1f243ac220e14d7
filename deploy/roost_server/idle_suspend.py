"""Watch for quiet, then put the machine to sleep through its own API socket."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum

from roost_server.asgi import App, Receive, Scope, Send
from roost_server.seed_database import checkpoint
from roost_server.settings import DATABASE, home_folder, uses_sqlite_file
from roost_server.unix_http import UnixConnection

# What to ask for, and what else when Fly refuses: not every machine can be suspended.
ACTIONS = {"suspend": ("suspend", "stop"), "stop": ("stop",)}
LOOK_S = 0.5
ASK_LIMIT_S = 10.0
FIRST_BACKOFF_S, LAST_BACKOFF_S = 5.0, 300.0
# The proxy's requests carry this header; Fly's own health checks come without it.
PROXY_HEADER = b"fly-request-id"


class FlyReply(Enum):
    """What Fly said to what it was asked for; of an answer that was lost nobody knows."""

    AGREED = "agreed"
    REFUSED = "refused"
    LOST = "lost"


@dataclass
class Activity:
    """What keeps the server awake: requests and sockets that came through the proxy."""

    clock: Callable[[], float] = time.monotonic
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
                self.note()

        return serve

    def note(self) -> None:
        """Begin the quiet anew."""
        self.last = self.clock()

    def idle_s(self) -> float:
        """Return the seconds since the last activity; 0 while there is some."""
        return 0.0 if self.open else self.clock() - self.last


def is_host_check(scope: Scope) -> bool:
    """Return whether a request is a health check of the host, which must not keep us awake."""
    names = {name for name, _ in scope.get("headers", ())}
    return scope.get("path") in ("/api/health", "/api/ready") and PROXY_HEADER not in names


async def watch(
    activity: Activity, environ: Mapping[str, str], flush: Callable[[], None] | None = None
) -> None:
    """Sleep whenever it has been quiet for long enough; runs as long as the server.

    Args:
        activity: what keeps it awake.
        environ: says what sleep is, and after how long.
        flush: completes the copy of the database first, where there is one.
    """
    actions = ACTIONS.get(environ.get("ROOST_IDLE_ACTION", "off"), ())
    limit = float(environ.get("ROOST_IDLE_AFTER_S", "300"))

    def is_idle() -> bool:
        return activity.idle_s() >= limit

    activity.note()
    backoff = FIRST_BACKOFF_S
    while actions:
        await asyncio.sleep(min(LOOK_S, limit))
        if not is_idle():
            continue
        if flush:
            await asyncio.to_thread(flush)
        if await suspend_or_stop(actions, environ, is_idle):
            backoff = FIRST_BACKOFF_S
            # Where it worked, this line runs after the wake; where not, quiet begins anew.
            await asyncio.sleep(LOOK_S)
        elif is_idle():
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_S)
        else:
            # Somebody came meanwhile: that is no refusal of Fly's to wait longer and longer for.
            backoff = FIRST_BACKOFF_S
            continue
        activity.note()


async def suspend_or_stop(
    actions: tuple[str, ...], environ: Mapping[str, str], is_idle: Callable[[], bool]
) -> bool:
    """Bring the database to rest, then ask for each action until Fly does not refuse one; say whether that was.

    All this takes a while: nobody who came meanwhile is put to sleep. And an answer may be lost in the very
    sleep it brings, so after a lost one nothing more is asked for: whoever woke the server is not counted yet.
    """
    if uses_sqlite_file(environ):
        await asyncio.to_thread(checkpoint, home_folder(environ) / DATABASE)
    for action in actions:
        if not is_idle():
            return False
        if await asyncio.to_thread(ask, action, environ) is not FlyReply.REFUSED:
            return True
    return False


def ask(action: str, environ: Mapping[str, str]) -> FlyReply:
    """Ask Fly to suspend or stop this very machine; return what it said, and log it."""
    machine = f"/v1/apps/{environ.get('FLY_APP_NAME')}/machines/{environ.get('FLY_MACHINE_ID')}"
    api = UnixConnection(environ.get("FLY_API_SOCKET", "/.fly/api"), ASK_LIMIT_S)
    with closing(api):
        try:
            api.connect()
        except OSError as error:
            print(f"roost: cannot ask Fly to {action} this machine: {error!r}", flush=True)
            return FlyReply.REFUSED
        try:
            api.request("POST", f"{machine}/{action}")
            status = api.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            lost = f"asked Fly to {action} this machine, and its answer was lost: {error!r}"
            print(f"roost: idle; {lost}", flush=True)
            return FlyReply.LOST
    agreed = status < http.client.BAD_REQUEST
    verdict = "agreed" if agreed else f"refused with status {status}"
    print(f"roost: idle; asked Fly to {action} this machine: {verdict}", flush=True)
    return FlyReply.AGREED if agreed else FlyReply.REFUSED
