"""Answer clients while the machine copies its database: they wait, as in maintenance mode.

A copy of a large database takes longer than a client retries an outage. Prefect's own client does not
count a reply with `Prefect-Maintenance` as an attempt (see `maintenance_mode`), so running flows go on
when the server is there again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from roost_machine.sleep_request import PROXY_HEADER
from roost_server.maintenance_mode import MAINTENANCE, SOCKET_S

HEALTH = ("/api/health", "/api/ready")
LONGEST_BODY = 16 * 2**20
READ = 2**16


class _Answerer(BaseHTTPRequestHandler):
    """Answers Fly's own checks, and turns everybody else away."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        check = self.path in HEALTH and PROXY_HEADER not in {name.lower() for name in self.headers}
        if "upgrade" in self.headers:
            time.sleep(SOCKET_S)  # Prefect's events client drops an event whose socket is refused
        self._read_body()
        self.send_response(HTTPStatus.OK if check else HTTPStatus.SERVICE_UNAVAILABLE)
        if not check:
            self.send_header(*(part.decode() for part in MAINTENANCE))
        self.send_header("content-length", "0")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815 - the names that http.server calls

    def _read_body(self) -> None:
        """Read what the client sends, so that it reads the answer instead of a reset."""
        length = self.headers.get("content-length", "")
        left = min(int(length), LONGEST_BODY) if length.isdecimal() else 0
        while left > 0 and (read := self.rfile.read(min(left, READ))):
            left -= len(read)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of http.server
        """Log nothing: clients retry every second."""


@contextmanager
def turning_clients_away(environ: Mapping[str, str]) -> Iterator[None]:
    """Answer clients in the background for the block; without the server's port, do not."""
    host = environ.get("PREFECT_SERVER_API_HOST", "")
    port = environ.get("PREFECT_SERVER_API_PORT", "")
    if not host or not port:
        yield
        return
    try:
        server = ThreadingHTTPServer((host, int(port)), _Answerer)
    except OSError as error:  # the copy matters more
        print(f"roost: clients get no answer during the copy: {error}", flush=True)
        yield
        return
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.socket.close()
