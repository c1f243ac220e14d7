"""A stand-in for the server of a flow server: Roost's endpoints, and the few of Prefect's that the launcher calls."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOGIN = "admin:s3cret"
PREFECT = "3.9.1"
HEADER = "X-Roost-Flow-Server"


class FlowServerApi(ThreadingHTTPServer):
    """Answers as the server does, and keeps what was called.

    Attributes:
        calls: each call as `(verb, path, body)`, without the prefix of flow servers.
        callers: the value of the header of each call.
        record: the record that is returned.
        paused: whether a deployment is paused, by its id.
        due: the runs that the filter of flow runs returns.
        statuses: the status to answer instead, by path; the first call of a list takes its first.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.version: str = PREFECT
        self.canary = False
        self.login = LOGIN
        self.record: dict[str, Any] = {}
        self.paused: dict[str, bool] = {}
        self.due: list[dict[str, Any]] = []
        self.statuses: dict[str, list[int]] = {}
        self.calls: list[tuple[str, str, Any]] = []
        self.callers: list[str] = []

    @property
    def url(self) -> str:
        """The address of Prefect's API."""
        return f"http://127.0.0.1:{self.server_address[1]}/api"

    def called(self, path: str) -> list[Any]:
        """Return the bodies of the calls of a path."""
        return [body for _, called, body in list(self.calls) if called == path]

    def answer(self, verb: str, path: str, body: Any) -> tuple[int, Any]:
        """Return the status and the document of an answer."""
        if path.startswith("/deployments/") and path.endswith("_deployment"):
            _, _, deployment, action = path.split("/")
            self.paused[deployment] = action == "pause_deployment"
            return 200, None
        if path == "/deployments/filter":
            asked = body["deployments"]["id"]["any_"]
            return 200, [{"id": each, "paused": self.paused[each]} for each in asked]
        documents: dict[tuple[str, str], Any] = {
            ("GET", "/admin/version"): self.version,
            ("POST", "/flow_runs/filter"): self.due,
            ("POST", "online"): {"canary": self.canary},
            ("POST", "canary"): None,
            ("POST", "drain"): self.record,
            ("GET", "record"): self.record,
        }
        known = (verb, path) in documents
        return (200, documents[verb, path]) if known else (404, {"detail": "Not Found"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FlowServerApi

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        name = self.headers.get(HEADER, "").partition("/")[0]
        path = self.path.removeprefix("/api")
        if path.startswith(f"/roost/flow-servers/{name}"):
            path = path.removeprefix(f"/roost/flow-servers/{name}").lstrip("/") or "record"
        self.server.callers.append(self.headers.get(HEADER, ""))
        status, document = self._status(path), None
        if status == 200:
            status, document = self.server.answer(self.command, path, body)
        self.server.calls.append((self.command, path, body))
        content = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve  # noqa: N815 - the names that the base class looks for

    def _status(self, path: str) -> int:
        token = base64.b64encode(self.server.login.encode()).decode()
        if self.server.login and self.headers.get("authorization") != f"Basic {token}":
            return 401
        statuses = self.server.statuses.get(path) or [200]
        return statuses.pop(0) if len(statuses) > 1 else statuses[0]

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def serve_flow_server_api() -> Iterator[FlowServerApi]:
    """Serve until the end of the `with`."""
    api = FlowServerApi()
    thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        api.shutdown()
        api.server_close()
        thread.join()
