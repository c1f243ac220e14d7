"""A WebSocket over an httpx client, with its address, headers and certificates.

`websockets` writes and reads the frames; httpx connects, requests the upgrade and lends its stream
(https://www.python-httpx.org/advanced/extensions/#network_stream).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Protocol

import httpcore
import httpx
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

MAX_BYTES = 64 * 1024
"""The limit of one message; Prefect's answers have a few dozen bytes."""


class UpgradeRefusedError(Exception):
    """The server did not open a WebSocket.

    Args:
        status: of its answer; 101 where the handshake is wrong.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"answered {status}")
        self.status = status


class SocketClosedError(Exception):
    """The other side closed the socket.

    Args:
        code: as in RFC 6455; 1006 where the connection broke.
        reason: the text of the other side, untrusted.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason


class NetworkStream(Protocol):
    """The stream of an upgraded connection, as httpx lends it."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpx's own
        """Return the next bytes; empty at the end."""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpx's own
        """Send all bytes."""


class WebSocket:
    """An open socket for texts, closed at the end of `open_websocket`."""

    def __init__(self, protocol: ClientProtocol, stream: NetworkStream) -> None:
        self._protocol = protocol
        self._stream = stream

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose, None where it chose none."""
        return self._protocol.subprotocol

    async def send(self, text: str) -> None:
        """Send one text."""
        self._protocol.send_text(text.encode())
        await self._flush()

    async def receive(self) -> str:
        """Wait for a text.

        Raises:
            SocketClosedError: the other side closed the socket, or the connection broke.
        """
        text = b""
        while True:
            for event in self._protocol.events_received():
                if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                    text += event.data
                    if event.fin:
                        return text.decode()
            await self._read()

    async def close(self) -> None:
        """Send the closing frame, unless the socket is closed."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close()
            with suppress(SocketClosedError):
                await self._flush()

    async def _read(self) -> None:
        data = b""
        if self._protocol.state is State.OPEN:
            with _breaks():
                data = await self._stream.read(MAX_BYTES)
        if not data:
            end = self._protocol.close_rcvd or Close(CloseCode.ABNORMAL_CLOSURE, "")
            raise SocketClosedError(int(end.code), end.reason)
        self._protocol.receive_data(data)
        await self._flush()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                with _breaks():
                    await self._stream.write(data)


@contextmanager
def _breaks() -> Iterator[None]:
    """Raise SocketClosedError for a broken connection; the stream raises httpcore's errors."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
        raise SocketClosedError(CloseCode.ABNORMAL_CLOSURE, type(error).__name__) from error


@asynccontextmanager
async def open_websocket(
    http: httpx.AsyncClient, path: str, subprotocol: str, headers: Mapping[str, str]
) -> AsyncIterator[WebSocket]:
    """Open a socket on the server of a client.

    Args:
        http: its base URL and headers are used, as for any other request.
        path: such as `/api/events/in`.
        subprotocol: the one that is offered.
        headers: of this request alone.

    Raises:
        UpgradeRefusedError: the server opened no socket.
        httpx.HTTPError: the server did not answer.
    """
    protocol = ClientProtocol(
        parse_uri("ws://server/"), subprotocols=[Subprotocol(subprotocol)], max_size=MAX_BYTES
    )
    wanted = protocol.connect()
    protocol.send_request(wanted)
    protocol.data_to_send()  # discarded: httpx sends the request
    own = {name: value for name, value in wanted.headers.raw_items() if name.lower() != "host"}
    async with http.stream("GET", path, headers={**own, **headers}) as answer:
        if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            raise UpgradeRefusedError(answer.status_code)
        protocol.receive_data(_as_bytes(answer))
        if isinstance(protocol.handshake_exc, InvalidHandshake):
            raise UpgradeRefusedError(answer.status_code)
        protocol.events_received()  # discarded: the answer to the handshake
        socket = WebSocket(protocol, answer.extensions["network_stream"])
        yield socket
        await socket.close()


def _as_bytes(answer: httpx.Response) -> bytes:
    """Return the head of an answer as bytes, for `websockets`, which parses it again."""
    lines = [b"HTTP/1.1 101 Switching Protocols"]
    lines += [name + b": " + value for name, value in answer.headers.raw]
    return b"\r\n".join([*lines, b"", b""])
