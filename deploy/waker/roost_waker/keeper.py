"""Keep the book in the machine's own metadata, where a restart and a migration leave it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from roost_machine.log import log
from roost_machine.metadata import read_metadata, write_metadata
from roost_waker.announcement import read_announcement
from roost_waker.book import Book
from roost_waker.errors import AnnouncementError, FullError

PREFIX = "roost_wake_"
"""Before the name of an app, in the key of its entry."""
LIMIT_S = 3.0
PAUSES_S = (0.5, 1.0, 2.0)
"""Fly allows one write a second for a machine, and three at once."""


class Keeper:
    """Writes the entries of a book, one key for each app, and reads them at the start.

    Args:
        book: whose entries are kept.
        environ: holds the names of the app and the machine.
        local: whether this is a local Fly.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        book: Book,
        environ: Mapping[str, str],
        *,
        local: bool,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._book, self._environ, self._local, self._sleep = book, environ, local, sleep
        self._writing = threading.Lock()
        self._accepted: dict[str, str | None] = {}

    def load(self) -> bool:
        """Take the kept entries into the book; return whether Fly answered."""
        kept = read_metadata(self._environ, LIMIT_S)
        for key, text in sorted((kept or {}).items()):
            if key.startswith(PREFIX) and isinstance(text, str):
                self._take(key, text)
        return kept is not None

    def _take(self, key: str, text: str) -> None:
        try:
            announcement = read_announcement(text, local=self._local)
            # What a server announced while this was read is newer.
            if self._book.announced(announcement.app) is None:
                self._book.put(announcement)
        except (AnnouncementError, FullError) as error:
            log(f"the metadata {key} is left out: {error}")

    def keep(self, app: str) -> bool:
        """Write what the book says of an app now; return whether Fly accepted it.

        One write at a time: the last one is of the newest entry.
        """
        with self._writing:
            for pause in (*PAUSES_S, None):
                announcement = self._book.announced(app)
                value = announcement.to_json() if announcement else None
                # A server sends the same again until it is answered; Fly takes few writes a second.
                if app in self._accepted and self._accepted[app] == value:
                    return True
                if write_metadata(f"{PREFIX}{app}", value, self._environ, LIMIT_S):
                    self._accepted[app] = value
                    return True
                if pause is not None:
                    self._sleep(pause)
        return False

    def keep_all(self) -> None:
        """Write what differs from the metadata, at the end of this start.

        An update of the machine replaces its metadata, and may have lost an entry of that moment.
        """
        kept = read_metadata(self._environ, LIMIT_S)
        if kept is None:
            return
        for app, announcement in self._book.all().items():
            if kept.get(f"{PREFIX}{app}") != announcement.to_json():
                self._accepted.pop(app, None)
                self.keep(app)
