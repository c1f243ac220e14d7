"""The parts that look after flow servers, put together: layers, the watch, and the due times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
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
from roost_server.next_due import DueTimes, MachineMetadata, Source
from roost_server.waker_announcement import Announcer

REPORT_S = 5.0


class FlowServers:
    """Everything of this server that is about flow servers.

    Args:
        environ: holds the login and the names of the app and the machine.
        is_open: returns whether the server accepts all clients.
        sources: know what else this server is needed for.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        is_open: Callable[[], bool],
        sources: Sequence[Source] = (),
    ) -> None:
        clock = AwakeClock(is_open=is_open)
        waker = Waker(lambda: clock.seconds)
        book = Book(Store(environ.get("FLY_APP_NAME", "")), clock, waker.forget, waker.is_waking)
        self._book = book
        self.watch = FlowWatch(book, waker, is_open)
        self.announcer = Announcer(environ)
        sinks = (MachineMetadata(environ), self.announcer)
        self.due_times = DueTimes((self.watch, *sources), sinks, is_open)
        self.clients = Clients()
        self._layer = FlowServerLayer(
            book,
            environ,
            self.watch.expect,
            self.watch.nudge,
            self.watch.try_again,
            self.clients,
        )
        self._endpoints = FlowServerEndpoints(book, waker, self.due_times, environ)

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
        clients = {"clients": self.clients.report(), **self._waker()}
        try:
            async with asyncio.timeout(REPORT_S):
                return clients | await self._endpoints.report()
        except Exception as error:  # noqa: BLE001 - the gate needs the rest of the report anyway
            print(f"roost: no report of flow servers ({name_failure(error)})", flush=True)
            return clients

    def _waker(self) -> dict[str, Any]:
        """Return the result of the last announcement to the waker, if there is one."""
        outcome = self.announcer.outcome
        return {"waker": outcome.document()} if outcome else {}
