"""A waker as a process of its own, with a metadata store that outlives it, as a machine's on Fly."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from helpers.prefect_process import free_port
from helpers.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"


class MetadataApi(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The metadata of one machine behind Fly's socket; the next `lose` answers are lost or refused."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Call)
        self.metadata: dict[str, str] = {}
        self.refuse = False
        self.lose = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a waker that was killed reads no reply."""

    @property
    def environ(self) -> dict[str, str]:
        """The variables that Fly sets."""
        return {
            "FLY_API_SOCKET": str(self.server_address),
            "FLY_APP_NAME": "acme-waker",
            "FLY_MACHINE_ID": "m1",
            "FLY_MACHINE_VERSION": "01V",
        }


class _Call(http.server.BaseHTTPRequestHandler):
    server: MetadataApi

    def address_string(self) -> str:
        return "socket"

    def do_GET(self) -> None:
        self._answer(200, self.server.metadata)

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        value = json.loads(self.rfile.read(length))["value"]
        if not self.server.refuse:
            self.server.metadata[self.path.rpartition("/")[2]] = value
        self._answer(429 if self.server.refuse else 204)

    def do_DELETE(self) -> None:
        self.server.metadata.pop(self.path.rpartition("/")[2], None)
        self._answer(204)

    def _answer(self, status: int, document: object = None) -> None:
        if self.server.lose:  # it was done, and nobody hears of it
            self.server.lose -= 1
            self.connection.close()
            return
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def metadata_api(path: Path) -> Iterator[MetadataApi]:
    """Serve the metadata of one machine on a socket at this path."""
    with MetadataApi(path) as api:
        threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield api
        finally:
            api.shutdown()


class WakerMachine:
    """A machine that runs the waker's program; it is started and killed by a test."""

    def __init__(self, folder: Path, api: MetadataApi) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / "waker.log"
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{DEPLOY}:{DEPLOY / 'waker'}",
            "PYTHONUNBUFFERED": "1",
            "ROOST_WAKER_HOST": "127.0.0.1",
            "ROOST_WAKER_PORT": str(self.port),
            "ROOST_WAKER_ADDRESS": self.address,
            **api.environ,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it logged."""
        return self.log_file.read_text("utf-8")

    def start(self, **variables: str) -> WakerMachine:
        """Start it, and wait until it answers."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(DEPLOY / "waker" / "waker.py")],
                env={**self.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self.answers)
        return self

    def answers(self) -> bool:
        """Return whether it answers."""
        try:
            return self.call("GET", "/")[0] == 200
        except OSError:
            return False

    def call(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status and the document of a reply."""
        content = json.dumps(body) if isinstance(body, dict) else body
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(verb, path, content, headers)
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else None

    def announce(self, app: str, address: str, at: str | None) -> tuple[int, Any]:
        """Announce as a server does."""
        return self.call("POST", "/roost/wake", {"app": app, "address": address, "at": at})

    def kill(self) -> None:
        """End it without a word."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Stop it as Fly does, and return its exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(60)


class Sleeper:
    """A server that sleeps until it is requested; each request and its headers are noted."""

    def __init__(self, statuses: list[int] | None = None) -> None:
        self.requests: list[dict[str, str]] = []
        self.statuses = statuses or [200]
        self.hold = threading.Event()
        self.hold.set()
        sleeper = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                sleeper.requests.append({"path": self.path, **headers})
                sleeper.hold.wait(60)
                many = len(sleeper.statuses) > 1
                self.send_response(sleeper.statuses.pop(0) if many else sleeper.statuses[0])
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
