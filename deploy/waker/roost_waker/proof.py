"""Prove this start: announce the waker to itself through Fly's proxy, and see its own wake arrive.

That takes every part that a server's wake takes: the private address, the endpoint, the metadata and
the request. The result is written into the metadata, where the gate of `roost apply` reads it.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import urlsplit

from roost_machine.log import log
from roost_machine.metadata import write_metadata
from roost_waker.announcement import Announcement
from roost_waker.endpoint import PATH
from roost_waker.settings import Settings

KEY = "roost_waker_proof"
LIMIT_S = 10.0
RETRY_S = 2.0


class Proof:
    """The proof of one start; it is repeated until it succeeds.

    Args:
        settings: of this start.
        environ: holds the names of the app and the machine.
        stopping: ends the repetition.
        now: returns the time.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        stopping: threading.Event,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._environ = settings, environ
        self._stopping, self._now = stopping, now
        self._arrived = threading.Event()
        self._mark = ""
        self.done = False

    def note_wake(self, mark: str) -> None:
        """Note a request of a waker: the one that is waited for, or that of another start."""
        if mark == self._mark:
            self._arrived.set()

    def run(self) -> None:
        """Prove this start, and write the result into the metadata; runs on a thread of its own."""
        said = ""
        while not self._stopping.is_set() and not self.done:
            began = time.monotonic()
            error = self._try()
            self.done = not error and self._write("", time.monotonic() - began)
            if self.done:
                log(f"proved: its own wake arrived after {time.monotonic() - began:.2f} s")
                return
            if error and error != said:
                said = error
                log(f"not proved: {error}; trying again")
                self._write(error)
            self._stopping.wait(RETRY_S)

    def _try(self) -> str:
        """Return why the wake did not arrive; empty if it did."""
        announcement = Announcement(self._settings.app, self._settings.address, self._now())
        self._arrived.clear()
        self._mark = announcement.mark
        try:
            status = announce(announcement, self._settings.address)
        except (OSError, http.client.HTTPException) as error:
            return f"its own address does not answer ({type(error).__name__})"
        if status != http.client.OK:
            return f"its own address answers an announcement with status {status}"
        if not self._arrived.wait(LIMIT_S):
            return f"its own wake did not arrive within {LIMIT_S:.0f} s"
        return ""

    def _write(self, error: str, seconds: float = 0.0) -> bool:
        entry = {
            "version": self._settings.version,
            "at": self._now().isoformat(),
            "seconds": round(seconds, 3),
            "error": error,
        }
        return write_metadata(KEY, json.dumps(entry), self._environ)


def announce(announcement: Announcement, address: str) -> int:
    """Send an announcement to a waker and return the status of its reply.

    Raises:
        OSError, http.client.HTTPException: it does not answer.
    """
    parts = urlsplit(address)
    with closing(
        http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=LIMIT_S)
    ) as connection:
        kind = {"content-type": "application/json", "connection": "close"}
        connection.request("POST", PATH, announcement.to_json(), kind)
        return connection.getresponse().status
