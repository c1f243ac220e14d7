"""Machines as the proxy sees them, each with a small real server behind its address."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import h11

from helpers.http_wire import Wire
from localfly.proxy.addresses import MachineView

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def service(port, **fields):
    """Return the config of one web service with these limits and this autostop."""
    plain = {"protocol": "tcp", "internal_port": port, "autostart": True, "ports": [{"port": 443}]}
    return plain | fields


@dataclass
class Seen:
    """One request as it reached the machine."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    wire: Wire = field(repr=False)


class Upstream:
    """A server that records requests and answers each with the result of `answer(seen)`.

    An answer of None closes the connection. A coroutine function gets the raw connection.
    """

    def __init__(self, answer=lambda _: OK):
        self.answer = answer
        self.seen: list[Seen] = []
        self.connections = 0
        self.hung_up = asyncio.Event()
        self.port = 0
        self._wires: set[Wire] = set()
        self._tasks: set[asyncio.Task] = set()
        self._server = None

    async def start(self):
        """Listen; a restart uses the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self):
        """Stop listening and close every connection, as at the end of a process."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        wire = Wire(reader, writer)
        with contextlib.suppress(asyncio.CancelledError, h11.RemoteProtocolError, OSError):
            while (seen := await self._read(wire)) is not None:
                self.seen.append(seen)
                if not await self._reply(seen):
                    break
        self._tasks.discard(asyncio.current_task())
        self.hung_up.set()
        wire.writer.close()

    async def _reply(self, seen):
        answer = self.answer(seen)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer is None:
            return False
        seen.wire.writer.write(answer)
        await seen.wire.writer.drain()
        seen.wire.http.send(h11.Response(status_code=204, headers=[]))
        seen.wire.http.send(h11.EndOfMessage())
        return seen.wire.try_next_cycle()

    async def _read(self, wire):
        head = await wire.receive()
        if not isinstance(head, h11.Request):
            return None
        if wire.http.they_are_waiting_for_100_continue:
            await wire.send(h11.InformationalResponse(status_code=100, headers=[]))
        body = b""
        while isinstance(event := await wire.receive(), h11.Data):
            body += bytes(event.data)
        headers = {key.decode(): value.decode() for key, value in head.headers}
        return Seen(head.method.decode(), head.target.decode(), headers, body, wire)


class FakeHost:
    """Runs fake machines: a state each, and an upstream that listens while it is started."""

    def __init__(self):
        self.upstreams: dict[str, Upstream] = {}
        self.views: dict[str, MachineView] = {}
        self.calls: list[tuple[str, str]] = []
        self.lines: list[str] = []
        self.start_s = 0.0
        self.refusal = None

    async def add(
        self, name="app-1", *, answer=lambda _: OK, state="started", region="iad", **fields
    ):
        """Add a machine; further fields are those of its service."""
        upstream = Upstream(answer)
        await upstream.start()
        if state == "stopped":
            await upstream.stop()
        self.upstreams[name] = upstream
        config = {"services": [service(upstream.port, **fields)], "env": {"PRIMARY_REGION": "iad"}}
        self.views[name] = MachineView(
            id=name, name=name, state=state, config=config, address="127.0.0.1", region=region
        )
        return upstream

    def put(self, name, **changes):
        """Change what is seen of a machine."""
        self.views[name] = MachineView(**{**vars(self.views[name]), **changes})

    def machines(self, _app):
        """Return all machines."""
        return list(self.views.values())

    async def start(self, _app, machine_id, source):
        """Start one, after `start_s`, or refuse with `refusal`."""
        self.calls.append(("start", machine_id))
        assert source == "proxy"
        if self.refusal:
            raise self.refusal
        before = self.views[machine_id].state
        self.put(machine_id, state="starting")
        await asyncio.sleep(self.start_s)
        if before == "stopped":
            await self.upstreams[machine_id].start()
        self.put(machine_id, state="started")

    async def stop(self, _app, machine_id, source):
        """End one's server."""
        self.calls.append(("stop", machine_id))
        assert source == "proxy"
        await self.upstreams[machine_id].stop()
        self.put(machine_id, state="stopped")

    async def suspend(self, _app, machine_id, source):
        """Mark a machine as suspended; its server keeps answering."""
        self.calls.append(("suspend", machine_id))
        assert source == "proxy"
        self.put(machine_id, state="suspended")

    def log(self, _app, _machine_id, line):
        """Record a log line."""
        self.lines.append(line)

    async def aclose(self):
        """End every server."""
        for name, upstream in self.upstreams.items():
            if self.views[name].state != "stopped":
                await upstream.stop()
