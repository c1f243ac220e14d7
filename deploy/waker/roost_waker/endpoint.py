"""Take announcements over HTTP, in the private network only: `POST /roost/wake`, and `GET /`.

A reply holds nothing of any server. Limits of size, time and number keep the machine's memory free.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from roost_machine.listener import Listener, Quiet, QuietServer, port_taken
from roost_waker.announcement import LONGEST_BODY
from roost_waker.errors import AnnouncementError, FullError, PortError
from roost_waker.waking import MARK

PATH = "/roost/wake"
LIMIT_S = 15
MOST_CONNECTIONS = 64
Json = Mapping[str, object]


@dataclass(frozen=True)
class Handlers:
    """What the endpoint calls.

    Args:
        take: takes the text of an announcement; returns whether it is kept over a restart.
        describe: returns the answer to `GET /`.
        note_wake: called with the mark of a request that a waker sent.
    """

    take: Callable[[bytes], bool]
    describe: Callable[[], Json]
    note_wake: Callable[[str], object]


class Endpoint(Listener):
    """Listens on the machine's port.

    Raises:
        PortError: the port is taken.
    """

    def __init__(self, host: str, port: int, handlers: Handlers) -> None:
        try:
            server = _Server((host, port), _Handler)
        except OSError as error:
            raise PortError(port_taken(port, error, "ROOST_WAKER_PORT")) from error
        server.handlers = handlers
        super().__init__(server)


class _Server(QuietServer):
    handlers: Handlers

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection on a thread of its own, or close it where there are too many."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()


class _Handler(Quiet, BaseHTTPRequestHandler):
    timeout = LIMIT_S
    server: _Server

    def do_GET(self) -> None:
        """Answer what the waker knows, counted."""
        if mark := self.headers.get(MARK):
            self.server.handlers.note_wake(mark)
        self._answer(HTTPStatus.OK, self.server.handlers.describe())

    def do_POST(self) -> None:
        """Take an announcement."""
        if self.path != PATH:
            self._refuse(HTTPStatus.NOT_FOUND, f"announce at {PATH}")
            return
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "the announcement needs a Content-Length")
        elif len(length) > len(str(LONGEST_BODY)) or int(length) > LONGEST_BODY:
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LONGEST_BODY} bytes are taken"
            )
        else:
            self._take(self.rfile.read(int(length)))

    def _take(self, text: bytes) -> None:
        try:
            kept = self.server.handlers.take(text)
        except AnnouncementError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except FullError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, str(error))
        else:
            if kept:
                self._answer(HTTPStatus.OK, {"kept": True})
            else:
                self._refuse(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "Fly did not keep it in the waker's metadata: a restart would forget it",
                )

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        # What was not read of the body must not be taken for the next request.
        self.close_connection = True
        self._answer(status, {"detail": detail})

    def _answer(self, status: HTTPStatus, document: Json) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
