"""A web server that takes messages as a chat's webhook does, and keeps them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class MessageServer:
    """Serves on a port of its own; `/gone` answers 404, `/moved` leads to a page, `/hang` waits for the end."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        """The path with its query, and the JSON of each message, in the order in which they came."""
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                outer.got.append((self.path, json.loads(body)))
                if self.path.startswith("/hang"):
                    outer.ended.wait()
                if self.path.startswith("/moved"):
                    self.send_response(302)
                    self.send_header("Location", "/page")
                else:
                    self.send_response(404 if self.path.startswith("/gone") else 200)
                self.end_headers()
                self.wfile.write(b"ok")  # what Slack answers, and its sender looks for

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
