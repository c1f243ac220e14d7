"""A door before an API that counts who goes through: calls as the other side sees them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_NOT_PASSED_ON = frozenset({"connection", "transfer-encoding", "content-length", "host"})


class Door(ThreadingHTTPServer):
    """Passes requests on to an API and notes the method of each."""

    daemon_threads = True

    def __init__(self, api_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = urlsplit(api_url).netloc
        self.methods: list[str] = []

    @property
    def url(self) -> str:
        """Where to knock."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Door

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def pass_on(self) -> None:
        """Pass one request on, and its answer back."""
        self.server.methods.append(self.command)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_PASSED_ON}
        api = HTTPConnection(self.server.api, timeout=60)
        try:
            api.request(self.command, self.path, body or None, headers)
            answer = api.getresponse()
            content = answer.read()
        finally:
            api.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 - http.server's names


@contextmanager
def counting(api_url: str) -> Iterator[Door]:
    """Open a door before an API, and close it."""
    door = Door(api_url)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    try:
        yield door
    finally:
        door.shutdown()
        door.server_close()
