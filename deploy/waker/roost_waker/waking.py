"""Request those who are due, each on a thread of its own, so that none waits for another."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from roost_machine.log import log
from roost_waker.announcement import Announcement
from roost_waker.book import GIVE_UP_S, Book

LOOK_S = 1.0
LIMIT_S = 60.0
"""How long Fly's proxy may take to start a machine and answer."""
MOST_AT_ONCE = 32
MARK = "x-roost-wake"
"""The header of a request that wakes: the announced time."""

Request = Callable[[Announcement], int]
"""Requests an address and returns the status of the reply."""


@dataclass(frozen=True)
class Waking:
    """Wakes the servers of a book.

    Args:
        book: whom to wake, and when.
        forget: called with an app whose entry ended.
        request: requests an address.
        now: returns the time.
        seconds: returns the seconds of a clock that is never set back.
    """

    book: Book
    forget: Callable[[str], object]
    request: Request
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    seconds: Callable[[], float] = time.monotonic
    _slots: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(MOST_AT_ONCE), repr=False
    )

    def step(self) -> list[threading.Thread]:
        """Begin the requests that are due, as many as there is room for; return their threads."""
        free = 0
        while free < MOST_AT_ONCE and self._slots.acquire(blocking=False):
            free += 1
        due = self.book.take_due(self.now(), self.seconds(), free)
        for _ in range(free - len(due)):
            self._slots.release()
        threads = [threading.Thread(target=self._wake, args=(one,), daemon=True) for one in due]
        for thread in threads:
            thread.start()
        return threads

    def _wake(self, announcement: Announcement) -> None:
        began = self.seconds()
        try:
            error = self._try(announcement)
        finally:
            self._slots.release()
        late = self.now() - (announcement.at or self.now())
        if not error:
            log(f"woke {announcement.app} in {self.seconds() - began:.2f} s, {lateness(late)}")
            ended = self.book.woke(announcement, self.now())
        else:
            ended = self.book.failed(announcement, error, self.seconds())
            then = f"given up after {GIVE_UP_S / 60:.0f} min" if ended else "trying again"
            log(f"cannot wake {announcement.app}: {error}; {lateness(late)}; {then}")
        if ended:
            self.forget(announcement.app)

    def _try(self, announcement: Announcement) -> str:
        """Return why a request failed; empty if the server answered."""
        try:
            status = self.request(announcement)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"[:200]
        except Exception as error:  # noqa: BLE001 - an entry that is under way must come back
            return type(error).__name__
        # Fly's proxy answers 5xx for a machine that it could not start; everything else came from it.
        is_awake = status < http.client.INTERNAL_SERVER_ERROR
        return "" if is_awake else f"status {status}"


def lateness(late: timedelta) -> str:
    """Return how long before or after the announced time something was, in words."""
    seconds = late.total_seconds()
    return f"{seconds:.1f} s late" if seconds > 0 else f"{-seconds:.1f} s before its run is due"


def request_address(announcement: Announcement) -> int:
    """Request the address of an announcement without credentials, and return the reply's status.

    Redirects are not followed, no proxy of the environment is used, and the body is not read.

    Raises:
        OSError, http.client.HTTPException: it does not answer within LIMIT_S.
    """
    parts = urlsplit(announcement.address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    with closing(kind(str(parts.hostname), parts.port, timeout=LIMIT_S)) as connection:
        headers = {"user-agent": "roost-waker", MARK: announcement.mark, "connection": "close"}
        connection.request("GET", "/", headers=headers)
        return connection.getresponse().status
