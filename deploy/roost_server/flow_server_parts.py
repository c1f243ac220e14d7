"""The parts that look after flow servers, put together: layers, the watch, and the hooks of sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from roost_server.asgi import App, Scope
from roost_server.awake_clock import AwakeClock
from roost_server.flow_server_book import Book
from roost_server.flow_server_clients import Clients
from roost_server.flow_server_endpoints import FlowServerEndpoints
from roost_server.flow_server_layer import FlowServerLayer
from roost_server.flow_server_store import Store
from roost_server.flow_server_wake import Waker
from roost_server.flow_server_watch import FlowWatch
from roost_server.flow_servers import read_caller
from roost_server.last_error import name_failure

REPORT_S = 5.0


class FlowServers:
    """Everything of this server that is about flow servers.

    Args:
        environ: holds the login and the names of the app and the machine.
        is_open: returns whether the server accepts all clients.
    """

    def __init__(self, environ: Mapping[str, str], is_open: Callable[[], bool]) -> None:
        clock = AwakeClock(is_open=is_open)
        waker = Waker(lambda: clock.seconds)
        book = Book(Store(environ.get("FLY_APP_NAME", "")), clock, waker.note_seen, waker.is_waking)
        self._book = book
        self.watch = FlowWatch(book, waker, environ, is_open)
        self.clients = Clients()
        self._layer = FlowServerLayer(
            book, environ, self.watch.nudge, self.watch.try_again, self.clients
        )
        self._endpoints = FlowServerEndpoints(book, waker, self.watch, environ)

    def layer(self, app: App) -> App:
        """Put the endpoints and the layer before an application."""
        return self._endpoints.layer(self._layer.layer(app))

    def keeps_awake(self, scope: Scope) -> bool:
        """Return whether an open request or socket keeps the server awake (`idle_suspend`).

        A flow server that is suspended leaves its sockets open until a ping is not answered, for 40 s
        or more. While it is awake, its polls and the runs that it executes keep the server awake.
        """
        caller = read_caller(scope)
        if caller is None or caller.name not in self._book.servers:
            return True
        return scope["type"] != "websocket" and not self._book.is_draining(caller.name)

    async def report(self) -> dict[str, Any]:
        """Return what `/roost/report` adds: clients, flow servers, and the next due run.

        A database that does not answer leaves out the last two.
        """
        clients = {"clients": self.clients.report()}
        try:
            async with asyncio.timeout(REPORT_S):
                return clients | await self._endpoints.report()
        except Exception as error:  # noqa: BLE001 - the gate needs the rest of the report anyway
            print(f"roost: no report of flow servers ({name_failure(error)})", flush=True)
            return clients
