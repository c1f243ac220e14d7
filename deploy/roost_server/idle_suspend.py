"""Suspend the machine over its own API socket when the server has been idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from roost_machine.sleep_request import ACTIONS, PROXY_HEADER, FlyReply, ask
from roost_server.asgi import App, Receive, Scope, Send
from roost_server.seed_database import checkpoint
from roost_server.settings import DATABASE, home_folder, uses_sqlite_file

LOOK_S = 0.5
FIRST_BACKOFF_S, LAST_BACKOFF_S = 5.0, 300.0


class Work(Protocol):
    """Work that keeps the server awake without a request."""

    def stays_awake(self) -> str | None:
        """Return why the server must not sleep now; None if it may."""

    async def prepare_sleep(self) -> bool:
        """Leave what others need while the server sleeps; return whether it may sleep."""


@dataclass(frozen=True)
class AllWork:
    """Several kinds of work as one.

    Args:
        parts: the kinds, in the order in which they prepare for a sleep.
    """

    parts: Sequence[Work]

    def stays_awake(self) -> str | None:
        """Return the first reason why the server must not sleep now; None if there is none."""
        return next((why for part in self.parts if (why := part.stays_awake())), None)

    async def prepare_sleep(self) -> bool:
        """Prepare each; return False as soon as one of them needs the server."""
        for part in self.parts:
            if not await part.prepare_sleep():
                return False
        return True


def counts_always(_: Scope) -> bool:
    """Return that a request or a socket keeps the server awake, whoever sent it."""
    return True


@dataclass
class Activity:
    """The requests and sockets that came through the proxy, which keep the server awake.

    Args:
        counts: returns whether an open request or socket keeps the server awake now.
        clock: returns seconds of the monotonic clock.
    """

    counts: Callable[[Scope], bool] = counts_always
    clock: Callable[[], float] = time.monotonic
    last: float = 0.0
    _open: dict[int, Scope] = field(default_factory=dict)

    def layer(self, app: App) -> App:
        """Count the requests and sockets that are open in an application."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket") or is_host_check(scope):
                await app(scope, receive, send)
                return
            self.begin(scope)
            try:
                await app(scope, receive, send)
            finally:
                self.end(scope)

        return serve

    @property
    def open(self) -> int:
        """The number of open requests and sockets."""
        return len(self._open)

    def begin(self, scope: Scope) -> None:
        """Count a request or a socket as open."""
        self._open[id(scope)] = scope

    def end(self, scope: Scope) -> None:
        """Count it as closed; the idle time restarts if it kept the server awake."""
        del self._open[id(scope)]
        if self.counts(scope):
            self.note()

    def note(self) -> None:
        """Restart the idle time."""
        self.last = self.clock()

    def idle_s(self) -> float:
        """Return the seconds since the last activity; 0 while an open one keeps the server awake."""
        is_busy = any(self.counts(scope) for scope in self._open.values())
        return 0.0 if is_busy else self.clock() - self.last


def is_host_check(scope: Scope) -> bool:
    """Return whether a request is one of Fly's health checks, which do not count as activity."""
    names = {name for name, _ in scope.get("headers", ())}
    is_check = scope.get("path") in ("/api/health", "/api/ready")
    return is_check and PROXY_HEADER.encode() not in names


async def watch(
    activity: Activity,
    environ: Mapping[str, str],
    flush: Callable[[], None] | None = None,
    work: Work | None = None,
) -> None:
    """Suspend or stop the machine whenever it is idle for long enough; runs as long as the server.

    Args:
        activity: the requests that keep the server awake.
        environ: holds the action (ROOST_IDLE_ACTION) and the idle time in s (ROOST_IDLE_AFTER_S).
        flush: completes the replica of the database first, if there is one.
        work: what else keeps the server awake.
    """
    actions = ACTIONS.get(environ.get("ROOST_IDLE_ACTION", "off"), ())
    limit = float(environ.get("ROOST_IDLE_AFTER_S", "300"))

    def is_idle() -> bool:
        return activity.idle_s() >= limit and not (work and work.stays_awake())

    activity.note()
    backoff = FIRST_BACKOFF_S
    logged = False
    while actions:
        await asyncio.sleep(min(LOOK_S, limit))
        if not is_idle():
            logged = log_work(activity, limit, work, logged=logged)
            continue
        logged = False
        if work and not await work.prepare_sleep():
            continue
        if flush:
            await asyncio.to_thread(flush)
        if await suspend_or_stop(actions, environ, is_idle):
            backoff = FIRST_BACKOFF_S
            # After a suspend this line runs at the wake; the idle time then starts again.
            await asyncio.sleep(LOOK_S)
        elif is_idle():
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_S)
        else:
            # A request came meanwhile. Fly refused nothing, so the back-off starts again.
            backoff = FIRST_BACKOFF_S
            continue
        activity.note()


def log_work(activity: Activity, limit: float, work: Work | None, *, logged: bool) -> bool:
    """Log once why the server stays awake without a request; return whether that is logged."""
    why = work.stays_awake() if work and activity.idle_s() >= limit else None
    if why and not logged:
        print(f"roost: no request for {limit:g} s, and stays awake: {why}", flush=True)
    return bool(why)


async def suspend_or_stop(
    actions: tuple[str, ...], environ: Mapping[str, str], is_idle: Callable[[], bool]
) -> bool:
    """Checkpoint the database, then request each action until Fly does not refuse one.

    Returns:
        Whether Fly agreed to an action or its reply was lost.

    This takes a moment, so the idle time is checked before each request. The reply may be lost in
    the suspend itself. Nothing else is requested then: the request that woke the server is not
    counted yet.
    """
    if uses_sqlite_file(environ):
        await asyncio.to_thread(checkpoint, home_folder(environ) / DATABASE)
    for action in actions:
        if not is_idle():
            return False
        if await asyncio.to_thread(ask, action, environ) is not FlyReply.REFUSED:
            return True
    return False
