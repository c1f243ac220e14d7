"""A relay in front of an API that records requests and can change answers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from helpers.waiting import LIMIT_S

_NOT_PASSED_ON = frozenset({"connection", "transfer-encoding", "content-length", "host"})


@dataclass(frozen=True)
class Answer:
    """An answer to a client; `length` is a Content-Length other than the body's."""

    status: int
    content: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None


HANG_UP = Answer(0)


class Door(ThreadingHTTPServer):
    """Passes requests on to an API and notes each, as `VERB PATH`.

    `asked` is called with that note before the API: its result is sent to the client instead
    of the API's, and `HANG_UP` breaks the connection. `answered` is called when the API has answered
    and the client does not know yet; it may give another answer, too.
    """

    daemon_threads = True

    def __init__(self, api_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = urlsplit(api_url).netloc
        self.calls: list[str] = []
        self.mishaps: list[Exception] = []
        """What `asked` and `answered` raised: nobody else would see it."""
        self.asked: Callable[[str], Answer | None] = lambda _: None
        self.answered: Callable[[str], Answer | None] = lambda _: None

    @property
    def url(self) -> str:
        """The address of the relay."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def methods(self) -> list[str]:
        """The verb of each request."""
        return [call.partition(" ")[0] for call in self.calls]

    def handle_error(self, *_: Any) -> None:
        """Ignore broken connections, which tests cause on purpose."""
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and not isinstance(error, OSError | HTTPException):
            self.mishaps.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Door

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def pass_on(self) -> None:
        """Forward one request, and return its answer."""
        call = f"{self.command} {self.path}"
        self.server.calls.append(call)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        instead = self.server.asked(call)
        answer = instead or self.ask(body)
        if not instead:
            answer = self.server.answered(call) or answer
        if answer is HANG_UP:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers:
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(answer.length or len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)
        self.close_connection |= answer.length is not None

    def ask(self, body: bytes) -> Answer:
        """Send a request to the API without the relay."""
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_PASSED_ON}
        api = HTTPConnection(self.server.api, timeout=LIMIT_S)
        try:
            api.request(self.command, self.path, body or None, headers)
            answer = api.getresponse()
            return Answer(answer.status, answer.read(), tuple(answer.getheaders()))
        finally:
            api.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 - http.server's names


@contextmanager
def counting(api_url: str) -> Iterator[Door]:
    """Open a relay in front of an API, and close it at the end."""
    door = Door(api_url)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    try:
        yield door
    finally:
        door.shutdown()
        door.server_close()
