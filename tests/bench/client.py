"""The HTTP client of all measurements; it adds little time of its own."""

from __future__ import annotations

import http.client
import json
import select
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from bench.errors import BenchError

UNANSWERED = 0
_WELL = range(200, 300)


@dataclass(frozen=True)
class Answer:
    """The result of a request; `status` is UNANSWERED without a response in time."""

    status: int
    body: bytes
    began: float
    ended: float

    @property
    def well(self) -> bool:
        """Whether the status is 2xx."""
        return self.status in _WELL

    @property
    def took_s(self) -> float:
        """The seconds from the first byte sent to the last byte read."""
        return self.ended - self.began

    def json(self) -> Any:
        """Return the parsed body of a successful response.

        Raises:
            BenchError: the response was not successful.
        """
        if not self.well:
            raise BenchError(f"A request came to {self.status}: {self.body[:300]!r}")
        return json.loads(self.body)


class Client:
    """One connection for one thread, which is kept open.

    Args:
        url: the server's address, such as http://127.0.0.1:4200.
        headers: sent with every request, such as those of `basic`.
        limit_s: after this time a request counts as unanswered.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, *, limit_s: float = 60
    ) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=limit_s
        )
        self._headers = {"Content-Type": "application/json", **(headers or {})}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Answer:
        """Read."""
        return self.send("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        """Send JSON."""
        return self.send("POST", path, body)

    def send(self, method: str, path: str, body: Any = None) -> Answer:
        """Send one request once; a missing response is a result, too."""
        content = None if body is None else json.dumps(body).encode()
        began = time.monotonic()
        self._drop_closed()
        try:
            self._connection.request(method, path, content, self._headers)
            response = self._connection.getresponse()
            read = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens a new one
            return Answer(UNANSWERED, b"", began, time.monotonic())
        return Answer(response.status, read, began, time.monotonic())

    def _drop_closed(self) -> None:
        """Close a connection that the server has closed, as every connection pool does."""
        kept = self._connection.sock
        if kept is not None and select.select([kept], [], [], 0)[0]:
            self._connection.close()


def basic(login: str) -> Mapping[str, str]:
    """Return the authorization header for `user:password`."""
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}


def wait_well(url: str, path: str, limit_s: float, *, pause_s: float = 0.01) -> float | None:
    """Poll until a request succeeds; return the time (monotonic), or None after the limit."""
    give_up_at = time.monotonic() + limit_s
    while (left := give_up_at - time.monotonic()) > 0:
        with Client(url, limit_s=left) as client:
            answer = client.get(path)
        if answer.well:
            return answer.ended
        time.sleep(pause_s)
    return None
