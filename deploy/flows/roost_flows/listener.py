"""Answer requests, so that Fly's proxy can start the machine and Fly can check it."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from roost_flows.errors import ImageError
from roost_machine import listener
from roost_machine.listener import Quiet, QuietServer, port_taken
from roost_machine.sleep_request import PROXY_HEADER

_LIMIT_S = 30


class Listener(listener.Listener):
    """Listens on the machine's port, and counts the requests that came through Fly's proxy.

    Raises:
        ImageError: the port is taken.
    """

    def __init__(self, host: str, port: int) -> None:
        self.wakes = 0
        try:
            server = _Server((host, port), _Handler)
        except OSError as error:
            raise ImageError(port_taken(port, error, "ROOST_FLOW_PORT")) from error
        server.listener = self
        super().__init__(server)


class _Server(QuietServer):
    listener: Listener


class _Handler(Quiet, BaseHTTPRequestHandler):
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
