"""HTTP on 127.0.0.1."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from typing import Any

from helpers.fake_github.door import Door


class Server(http.server.ThreadingHTTPServer):
    """Serves requests, each connection in a thread, until it is closed."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, door: Door) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _handler(door, self._open))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def begin(self) -> None:
        """Start to serve."""
        poll = {"poll_interval": 0.02}
        threading.Thread(target=self.serve_forever, kwargs=poll, daemon=True).start()

    def end(self) -> None:
        """Stop serving, and close all connections."""
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(door: Door, open_now: set[socket.socket]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def setup(self) -> None:
            open_now.add(self.request)
            super().setup()

        def finish(self) -> None:
            with contextlib.suppress(OSError):
                super().finish()
            open_now.discard(self.request)

        def log_message(self, *_: Any) -> None:
            pass

        def respond(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = door.answer(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                content,
            )
            if answer is None:
                self.close_connection = True
                return
            body = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("X-GitHub-Request-Id", f"FAKE:{len(door.calls)}")
            if answer.body is not None:
                self.send_header("Content-Type", "application/json; charset=utf-8")
            if answer.status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond  # noqa: N815 - names of the base

    return Handler
