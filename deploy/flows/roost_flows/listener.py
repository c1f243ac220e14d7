"""Answer requests, so that Fly's proxy can start the machine and Fly can check it."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from roost_flows.errors import ImageError
from roost_machine.sleep_request import PROXY_HEADER

_LIMIT_S = 30


class Listener:
    """Listens on the machine's port, and counts the requests that came through Fly's proxy."""

    def __init__(self, host: str, port: int) -> None:
        self.wakes = 0
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise ImageError(
                f"port {port} of the machine is taken: {error}. Name another one in ROOST_FLOW_PORT"
            ) from error
        self._server.listener = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        """Listen until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    listener: Listener

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a client that hung up is no fault of the machine."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _LIMIT_S
    server: _Server

    def do_GET(self) -> None:
        """Answer 200 to any path."""
        if self.headers.get(PROXY_HEADER):
            self.server.listener.wakes += 1
        body = b"a flow server of Roost\n"
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: Fly checks every few seconds."""
