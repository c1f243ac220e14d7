"""Answer Fly's health checks: 200 while Redis takes writes and keeps them, else 503."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from roost_machine.listener import Listener, Quiet, QuietServer, port_taken
from roost_redis.errors import PortError
from roost_redis.health import Health

LIMIT_S = 15


class Endpoint(Listener):
    """Listens on the machine's port for health checks.

    Raises:
        PortError: the port is taken.
    """

    def __init__(self, host: str, port: int, ask: Callable[[], Health]) -> None:
        try:
            server = _Server((host, port), _Handler)
        except OSError as error:
            raise PortError(port_taken(port, error, "ROOST_HEALTH_PORT")) from error
        server.ask = staticmethod(ask)
        super().__init__(server)


class _Server(QuietServer):
    ask: Callable[[], Health]


class _Handler(Quiet, BaseHTTPRequestHandler):
    timeout = LIMIT_S
    server: _Server

    def do_GET(self) -> None:
        """Say how Redis is; every path is the same."""
        health = self.server.ask()
        body = f"{health.text}\n".encode()
        self.send_response(HTTPStatus.OK if health.good else HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
