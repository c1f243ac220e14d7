"""An index of packages that has releases of Prefect, on 127.0.0.1.

    with FakeIndex() as index:
        index.add("3.9.1", days_old=20)
        index.vulnerable["3.8.8"] = [{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fixed_in": ["3.9.4"]}]

The simple API is that of packaging.python.org ("Simple repository API", JSON); the page of one
version is that of PyPI's "JSON API", with its vulnerabilities. It has no files to download.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SIMPLE = "application/vnd.pypi.simple.v1+json"


class FakeIndex:
    """The releases that it has, and what it was asked."""

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []
        self.vulnerable: dict[str, list[dict[str, Any]]] = {}
        self.has_vulnerabilities = True
        """Whether it has the pages of versions; a mirror rarely does."""
        self.broken = b""
        """Answers instead of the list of files."""
        self.asked: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                status, body = index.answer(self.path)
                self.send_response(status)
                self.send_header("content-type", SIMPLE)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, version: str, *, days_old: float, yanked: bool | str = False) -> None:
        """Publish a release."""
        at = (datetime.now(UTC) - timedelta(days=days_old)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name in (f"prefect-{version}-py3-none-any.whl", f"prefect-{version}.tar.gz"):
            self.files.append({"filename": name, "upload-time": at, "yanked": yanked})

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of a page."""
        if path == "/simple/prefect/":
            page = {"meta": {"api-version": "1.1"}, "name": "prefect", "files": self.files}
            return 200, self.broken or json.dumps(page).encode()
        parts = path.strip("/").split("/")
        if parts[:2] == ["pypi", "prefect"] and self.has_vulnerabilities:
            return 200, json.dumps({"vulnerabilities": self.vulnerable.get(parts[2], [])}).encode()
        return 404, b"{}"
