"""The book of what is to be woken, and when. It reads no clock and asks nobody.

Times are those of the wall clock, so that a suspended or migrated machine, or a clock that was set,
delays nothing. Back-offs are seconds of a clock that is never set back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from roost_waker.announcement import Announcement
from roost_waker.errors import FullError

LEAD = timedelta(seconds=45)
"""A server is requested this long before its run is due: a stopped one takes up to 15 s to start, longer
on a busy host. It stays awake for what is due within 60 s, so this must be less."""
MOST_ENTRIES = 100
"""Each entry is some 120 bytes of the machine's metadata, for which Fly documents no limit."""
RESERVED = 16
"""So many of the requests at a time are kept for servers that were not asked before."""
FIRST_BACKOFF_S, LAST_BACKOFF_S = 2.0, 60.0
GIVE_UP_S = 3600.0
"""A server that could not be woken for this long since the first attempt is given up."""


@dataclass
class Entry:
    """One announcement, and the attempts for it.

    Args:
        announcement: whom to wake, and when.
        attempts: how many requests failed.
        first_at: when the first attempt began, in seconds of the clock that is never set back.
        again_at: when the next attempt may begin, on the same clock.
        is_under_way: whether a request is under way.
        is_woken: whether the server answered before its time; it is requested once more at its time.
        error: why the last request failed.
    """

    announcement: Announcement
    attempts: int = 0
    first_at: float | None = None
    again_at: float = 0.0
    is_under_way: bool = False
    is_woken: bool = False
    error: str = ""


@dataclass(frozen=True)
class Counts:
    """What the book counted since its start.

    Args:
        entries: how many servers are to be woken.
        late: how many of them are overdue.
        woken: how many were woken.
        given_up: how many were given up.
    """

    entries: int
    late: int
    woken: int
    given_up: int


@dataclass
class Book:
    """The entries, one for each app; safe to use from several threads.

    Args:
        own: the waker's own app, which always has room: it proves itself by a wake of its own.
    """

    own: str = ""
    _entries: dict[str, Entry] = field(default_factory=dict)
    _woken: int = 0
    _given_up: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def put(self, announcement: Announcement) -> None:
        """Note, replace or withdraw what an app announced.

        Raises:
            FullError: it is one app too many.
        """
        with self._changing() as entries:
            known = entries.get(announcement.app)
            if announcement.at is None:
                entries.pop(announcement.app, None)
            elif known is None and self._is_full(entries, announcement.app):
                raise FullError(f"the waker has {MOST_ENTRIES} servers already")
            elif known is None or known.announcement != announcement:
                entries[announcement.app] = Entry(announcement)

    def announced(self, app: str) -> Announcement | None:
        """Return what an app announced; None if it has nothing to come."""
        with self._changing() as entries:
            entry = entries.get(app)
            return entry.announcement if entry else None

    def all(self) -> Mapping[str, Announcement]:
        """Return every announcement by its app."""
        with self._changing() as entries:
            return {app: entry.announcement for app, entry in entries.items()}

    def take_due(self, now: datetime, seconds: float, most: int) -> list[Announcement]:
        """Return whom to request now, and mark them as under way; first attempts come before others.

        Args:
            now: the time.
            seconds: of the clock that is never set back.
            most: how many at most.
        """
        with self._changing() as entries:
            due = [
                entry
                for entry in entries.values()
                if not entry.is_under_way and seconds >= entry.again_at and _is_due(entry, now)
            ]
            # Servers that hang must not take every slot: those that were never asked come first.
            due.sort(key=lambda entry: (entry.attempts > 0, _time(entry.announcement)))
            fresh = sum(entry.attempts == 0 for entry in due)
            taken = due[: max(min(fresh, most), most - RESERVED)]
            for entry in taken:
                entry.is_under_way = True
                if entry.first_at is None:
                    entry.first_at = seconds
            return [entry.announcement for entry in taken]

    def woke(self, announcement: Announcement, now: datetime) -> bool:
        """Note that a server answered; return whether its entry ended.

        It ends once its time has passed: until then, the server may be put to sleep again, and would
        announce the same time to nobody. What was announced anew meanwhile stays.
        """
        with self._changing() as entries:
            entry = entries.get(announcement.app)
            if entry is None or entry.announcement != announcement:
                self._woken += 1
                return False
            self._woken += not entry.is_woken
            if now >= _time(announcement):
                return self._remove(entries, announcement)
            entries[announcement.app] = Entry(announcement, is_woken=True)
            return False

    def failed(self, announcement: Announcement, error: str, seconds: float) -> bool:
        """Note a request that failed; return whether the entry was given up."""
        with self._changing() as entries:
            entry = entries.get(announcement.app)
            if entry is None or entry.announcement != announcement:
                return False
            entry.is_under_way, entry.error = False, error
            entry.again_at = seconds + min(FIRST_BACKOFF_S * 2**entry.attempts, LAST_BACKOFF_S)
            entry.attempts = min(entry.attempts + 1, 10)  # beyond that the power changes nothing
            first = seconds if entry.first_at is None else entry.first_at
            if seconds - first < GIVE_UP_S:
                return False
            self._given_up += 1
            return self._remove(entries, announcement)

    def counts(self, now: datetime) -> Counts:
        """Return what the book counted."""
        with self._changing() as entries:
            late = sum(_time(entry.announcement) < now for entry in entries.values())
            return Counts(len(entries), late, self._woken, self._given_up)

    def _is_full(self, entries: Mapping[str, Entry], app: str) -> bool:
        return app != self.own and len(entries.keys() - {self.own}) >= MOST_ENTRIES

    @staticmethod
    def _remove(entries: dict[str, Entry], announcement: Announcement) -> bool:
        entry = entries.get(announcement.app)
        if entry is None or entry.announcement != announcement:
            return False
        del entries[announcement.app]
        return True

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Entry]]:
        with self._lock:
            yield self._entries


def _is_due(entry: Entry, now: datetime) -> bool:
    """Return whether a server is to be requested: before its time, and once more at it."""
    return now + (timedelta(0) if entry.is_woken else LEAD) >= _time(entry.announcement)


def _time(announcement: Announcement) -> datetime:
    """Return the time of an announcement in the book, which has one."""
    assert announcement.at is not None  # noqa: S101 - `put` keeps no other
    return announcement.at
