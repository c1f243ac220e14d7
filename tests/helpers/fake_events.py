"""A Prefect server's socket for events, as the stream that httpx returns after an upgrade.

The frames are those of the `websockets` library; what is said in them is as Prefect 3.9.1 does
(prefect.server.utilities.subscriptions, prefect.server.api.events).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol


class EventSocket:
    """One client's socket: its login first, then events.

    Args:
        login: the login that the client must send first; empty for a server without one.
        keep: called with each event.
        troubled: `silent` answers nothing, `other` answers another thing than `auth_success`,
            `bare` chooses no subprotocol, `broken` ends the connection.
    """

    def __init__(
        self, login: str, keep: Callable[[dict[str, Any]], object], troubled: str = ""
    ) -> None:
        self._login, self._keep, self._troubled = login, keep, troubled
        self._known = False
        chosen = None if troubled == "bare" else [Subprotocol("prefect")]
        self._protocol = ServerProtocol(subprotocols=chosen)
        self._out = bytearray()

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer the request for a socket; one without the subprotocol gets 403, as Prefect does."""
        if "upgrade" not in request.headers:
            return httpx.Response(404)
        if self._troubled != "bare" and "sec-websocket-protocol" not in request.headers:
            return httpx.Response(403)
        lines = [b"GET / HTTP/1.1", *(b": ".join(pair) for pair in request.headers.raw)]
        self._protocol.receive_data(b"\r\n".join([*lines, b"", b""]))
        [asked] = self._protocol.events_received()
        assert isinstance(asked, Request)
        response = self._protocol.accept(asked)
        self._protocol.send_response(response)
        self._protocol.data_to_send()  # the answer carries it
        return httpx.Response(
            response.status_code,
            headers=list(response.headers.raw_items()),
            extensions={"network_stream": self},
        )

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - httpx's own
        """Receive bytes from the client."""
        self._protocol.receive_data(buffer)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._take(json.loads(bytes(event.data)))
        self._out += b"".join(self._protocol.data_to_send())

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpx's own
        """Return what the server sends; wait for ever where it sends nothing."""
        del timeout
        if self._troubled == "broken":
            return b""
        if not self._out:
            await anyio.sleep_forever()
        return self.taken(max_bytes)

    def taken(self, max_bytes: int = 2**16) -> bytes:
        """Return what the server has sent so far."""
        data = bytes(self._out[:max_bytes])
        del self._out[:max_bytes]
        return data

    async def aclose(self) -> None:
        """Close nothing: there is no connection."""

    def _take(self, message: dict[str, Any]) -> None:
        if self._known:
            self._keep(message)
        elif self._troubled == "silent":
            return
        elif message.get("type") != "auth":
            self._protocol.send_close(1008, "Expected 'auth' message")
        elif self._login and message.get("token") != self._login:
            self._protocol.send_close(1008, "Invalid token")
        else:
            self._known = True
            said = "auth_failure" if self._troubled == "other" else "auth_success"
            self._protocol.send_text(json.dumps({"type": said}).encode())
