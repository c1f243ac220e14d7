"""The layer for flow servers: it reads their header, fences old boots, and learns what they do.

A request without the header passes as it is. A flow server's poll for work tells for which
deployments and pools it works; a run that it sets to Pending or Running is recorded as its own
before Prefect sees the request, so that its end is noticed even if both are killed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from roost_server.asgi import App, Receive, Scope, Send, answer
from roost_server.flow_server_book import Book, FencedError
from roost_server.flow_server_clients import Clients
from roost_server.flow_server_requests import (
    Reply,
    answer_failure,
    answer_json,
    begins_by,
    is_uuid,
    read_document,
    read_polled,
    read_proposed,
    uncompressed,
)
from roost_server.flow_servers import Caller, read_caller
from roost_server.maintenance_mode import is_logged_in
from roost_server.write_queue import ORIGIN, Origin
from roost_server.write_requests import KEPT_IN_MEMORY, read_body

POLL = re.compile(r"/(?:deployments|work_pools/(?P<pool>[^/]+))/get_scheduled_flow_runs/?$")
SET_STATE = re.compile(r"/flow_runs/(?P<run>[0-9a-fA-F-]{36})/set_state/?$")
DEPLOYMENT = re.compile(r"/deployments/[0-9a-fA-F-]{36}/?$")
CREATES = re.compile(r"/(?:create_flow_run|resume|set_state|flow_runs)/?$")
CHANGES = re.compile(r"/(?:deployments|work_pools|work_queues|concurrency_limits)/")
"""What may hold runs; a change of it may let them go."""
STARTS_NOW = re.compile(r"/deployments/(?P<deployment>[0-9a-fA-F-]{36})/create_flow_run/?$")
AHEAD = timedelta(seconds=5)
"""A run that is due later than this is left to the watch."""
STARTS = re.compile(r"/(?:create_flow_run|resume)/?$")
"""What a person does, or a program for one, who wants a run now."""
EXECUTED = ("PENDING", "RUNNING")


class FlowServerLayer:
    """Passes requests on, and notes what flow servers do.

    Args:
        book: the flow servers.
        environ: holds the login.
        expect: called with a deployment for which a run is being created that is due now.
        nudge: called when a run may have been created, and with whether somebody asked for it.
        try_again: called when what holds a run may have changed.
        clients: counts the sockets and polls of others.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is something else that it has to tell
        self,
        book: Book,
        environ: Mapping[str, str],
        expect: Callable[[str], None],
        nudge: Callable[[bool], None],
        try_again: Callable[[], None],
        clients: Clients,
    ) -> None:
        self._book = book
        self._environ = environ
        self._expect = expect
        self._nudge = nudge
        self._try_again = try_again
        self._clients = clients

    def layer(self, app: App) -> App:
        """Put the layer around an application."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                await self._socket(app, scope, receive, send)
            elif scope["type"] != "http":
                await app(scope, receive, send)
            elif (caller := read_caller(scope)) and is_logged_in(scope, self._environ):
                await self._from_flow_server(app, scope, receive, send, caller)
            else:
                await self._from_other(app, scope, receive, send)

        return serve

    async def _socket(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        caller = read_caller(scope)
        if caller:
            # Whose socket it is, is known from the records. Without them it is anybody's.
            with suppress(Exception):
                await self._book.load()
        if caller and self._is_fenced(caller):
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "replaced"})
            return
        of_flow_server = int(bool(caller and caller.name in self._book.servers))
        self._clients.flow_server_sockets += of_flow_server
        self._clients.sockets += 1 - of_flow_server
        try:
            await app(scope, receive, send)
        finally:
            self._clients.flow_server_sockets -= of_flow_server
            self._clients.sockets -= 1 - of_flow_server

    def _is_fenced(self, caller: Caller) -> bool:
        record = self._book.servers.get(caller.name)
        return record is not None and caller.boot in record.fenced

    async def _from_other(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and POLL.search(scope["path"]):
            self._clients.note_poll()
        try:
            if scope["method"] == "POST" and (starts := STARTS_NOW.search(scope["path"])):
                await self._start(app, scope, receive, send, starts["deployment"])
            else:
                await app(scope, receive, send)
        finally:
            self._note_run(scope)

    async def _start(
        self, app: App, scope: Scope, receive: Receive, send: Send, deployment: str
    ) -> None:
        """Pass a request that creates a run, and have its flow server woken meanwhile.

        A server that was just started takes a second for such a request, and a flow server needs that
        second, too. One that is woken for a run that Prefect then refuses sleeps again.
        """
        with closing(tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY)) as file:
            body = await read_body(receive, file)
            latest = datetime.fromtimestamp(self._book.now(), UTC) + AHEAD
            if (
                is_uuid(deployment)
                and is_logged_in(scope, self._environ)
                and begins_by(read_document(body), latest)
            ):
                with suppress(Exception):  # the watch looks again, and logs why it cannot
                    await self._book.load()
                    self._expect(str(UUID(deployment)))
            await app(scope, body.replay(), send)

    def _note_run(self, scope: Scope) -> None:
        """Have the watch look now if a request may have created a run, or let one go."""
        method, path = scope["method"], scope["path"]
        is_new = method == "POST" and CREATES.search(path)
        is_change = method in ("PATCH", "PUT", "DELETE") and CHANGES.search(path)
        ends_run = method == "POST" and SET_STATE.search(path) and not read_caller(scope)
        if not (is_new or is_change) or not is_logged_in(scope, self._environ):
            return
        if is_change or ends_run:
            self._try_again()
        self._nudge(bool(is_new and STARTS.search(path) and not read_caller(scope)))

    async def _from_flow_server(
        self, app: App, scope: Scope, receive: Receive, send: Send, caller: Caller
    ) -> None:
        try:
            await self._book.load()
            record = self._book.check(caller)
        except FencedError as error:
            await answer_json(send, 409, {"detail": str(error)})
            return
        except Exception as error:  # noqa: BLE001 - any failure of the database is answered alike
            await answer_failure(send, error)
            return
        if record is None:
            await self._from_other(app, scope, receive, send)
            return
        with self._book.request(caller):
            if scope["method"] == "POST" and (poll := POLL.search(scope["path"])):
                await self._poll(app, scope, receive, send, caller, poll["pool"])
            elif (
                scope["method"] == "PATCH"
                and DEPLOYMENT.search(scope["path"])
                and record.is_draining(self._book.now())
            ):
                await self._change_deployment(app, scope, receive, send)
            elif scope["method"] == "POST" and (state := SET_STATE.search(scope["path"])):
                await self._set_state(app, scope, receive, send, caller, state["run"])
            else:
                await app(scope, receive, send)
                self._note_run(scope)

    async def _poll(  # noqa: PLR0913, PLR0917 - an ASGI call has four arguments already
        self,
        app: App,
        scope: Scope,
        receive: Receive,
        send: Send,
        caller: Caller,
        pool: str | None,
    ) -> None:
        with closing(tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY)) as file:
            body = await read_body(receive, file)
            ORIGIN.set(Origin.REQUEST)
            found = await self._try(
                send,
                lambda: self._book.poll(caller, read_polled(read_document(body), pool)),
            )
            if found is True:
                await app(scope, body.replay(), send)
            elif found is False:
                await answer_json(send, 200, [])

    @staticmethod
    async def _change_deployment(app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a pause by a draining flow server without effect; pass every other change.

        Prefect's runner pauses what it serves when it ends (3.8.8, 3.9.1), and any change of a
        deployment deletes its scheduled runs. A flow server drains before it ends on purpose, and
        its schedules must go on.
        """
        with closing(tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY)) as file:
            body = await read_body(receive, file)
            if read_document(body) == {"paused": True}:
                await answer(send, 204)
            else:
                await app(scope, body.replay(), send)

    async def _set_state(  # noqa: PLR0913, PLR0917 - an ASGI call has four arguments already
        self, app: App, scope: Scope, receive: Receive, send: Send, caller: Caller, run: str
    ) -> None:
        run = str(UUID(run)) if is_uuid(run) else run
        with closing(tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY)) as file:
            body = await read_body(receive, file)
            if not is_uuid(run) or read_proposed(read_document(body)) not in EXECUTED:
                await app(scope, body.replay(), send)
                return
            self._book.claiming.add(run)
            try:
                ORIGIN.set(Origin.REQUEST)
                is_new = await self._try(send, lambda: self._book.claim(caller, run))
                if is_new is None:
                    return
                reply = Reply(send)
                await app(uncompressed(scope), body.replay(), reply)
                if is_new and not reply.is_accepted():
                    self._book.release(caller.name, [run])
                elif is_new and reply.says_accepted():
                    self._book.take_over(caller.name, run)
            finally:
                self._book.claiming.discard(run)

    @staticmethod
    async def _try(send: Send, change: Callable[[], Any]) -> bool | None:
        """Return what a change of a record returns; answer 503 and return None if it failed."""
        try:
            return bool(await change())
        except Exception as error:  # noqa: BLE001 - as Prefect answers while its database is busy
            await answer_failure(send, error)
            return None
