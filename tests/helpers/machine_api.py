"""A stand-in for Fly's API on the machine's own socket."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class MachineApi(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A stand-in for Fly's API on a socket: sends its answers in order, the last forever."""

    block_on_close = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), MachineApiCall)
        self.path = str(path)
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.answers: list[bytes | None] = [OK]
        self.when_asked: Callable[[], Any] = lambda: None
        self.closing = threading.Event()

    @property
    def environ(self) -> dict[str, str]:
        """The variables that Fly sets for a machine, with the path of this socket."""
        return {"FLY_API_SOCKET": self.path, "FLY_APP_NAME": "acme", "FLY_MACHINE_ID": "m1"}


class MachineApiCall(socketserver.StreamRequestHandler):
    """One call of the API."""

    def handle(self) -> None:
        """Record the request, then answer; an answer of None is never sent."""
        api: Any = self.server
        verb, path, _ = self.rfile.readline().decode().split(" ", 2)
        length = 0
        while line := self.rfile.readline().strip():
            name, _, value = line.lower().partition(b":")
            length = int(value) if name == b"content-length" else length
        if length:
            api.bodies.append(json.loads(self.rfile.read(length)))
        api.asked.append((verb, path))
        api.when_asked()
        answer = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
        if answer is None:
            api.closing.wait(30)
        else:
            self.wfile.write(answer)


@contextmanager
def serving(path: Path) -> Iterator[MachineApi]:
    """Answer on a socket at this path."""
    with MachineApi(path) as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            api.closing.set()
            api.shutdown()
            thread.join()
