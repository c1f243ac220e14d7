"""Listen on the machine's port, where Fly's proxy and Fly's checks request it."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from typing import Any


class Listener:
    """An HTTP server on a thread of its own.

    Args:
        server: bound to its port already.
    """

    def __init__(self, server: QuietServer) -> None:
        self._server = server
        self.port = int(server.server_address[1])
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)

    def start(self) -> None:
        """Listen until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class QuietServer(ThreadingHTTPServer):
    """A server whose requests do not outlive it."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a client that hung up is no fault of the machine."""


class Quiet:
    """What a handler of requests has beside `BaseHTTPRequestHandler`: kept connections, and no log."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Log nothing: Fly checks every few seconds."""


def port_taken(port: int, error: OSError, variable: str) -> str:
    """Return why a machine cannot listen, with the variable that names another port."""
    return f"port {port} of the machine is taken: {error}. Name another one in {variable}"
