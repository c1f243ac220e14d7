"""Stay awake in the windows that the environment file names, and name the next one before a sleep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from roost_server.next_due import NextDue
from roost_server.windows import Span, Window, WindowError, read_windows, spans_around

VARIABLE = "ROOST_WINDOWS"
NEAR = timedelta(seconds=60)
"""A window that begins sooner than this keeps the server awake: a sleep would not be worth it."""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class AwakeWindows:
    """The windows of this server: work that keeps it awake, and a source of due times.

    A window that this image cannot use is logged and left out: the server sleeps then.

    Args:
        environ: holds the windows, as `windows.write_windows` writes them.
        now: returns the time.
    """

    def __init__(self, environ: Mapping[str, str], now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._faults: list[str] = []
        self._windows = tuple(self._usable(environ.get(VARIABLE, "")))
        for fault in self._faults:
            print(f"roost: {fault}; this server may sleep in that window", flush=True)

    def is_used(self) -> bool:
        """Return whether there is any window."""
        return bool(self._windows)

    def stays_awake(self) -> str | None:
        """Return the window that is open or about to open; None if there is none."""
        now = self._now()
        is_open, following = self._around(now)
        if is_open:
            return f"the window {is_open.closes} is open"
        if following and following.begin - now <= NEAR:
            return f"the window {following.opens} opens at {following.begin:%H:%M:%S} UTC"
        return None

    async def prepare_sleep(self) -> bool:
        """Return whether no window is open."""
        return self.stays_awake() is None

    async def next_due(self) -> NextDue | None:
        """Return when the next window opens; one that is open does not count again."""
        _, following = self._around(self._now())
        return NextDue(following.begin, {"window": str(following.opens)}) if following else None

    def report(self) -> dict[str, Any]:
        """Return what `/roost/report` says of windows; nothing if there are none."""
        if not self._windows and not self._faults:
            return {}
        is_open, _ = self._around(self._now())
        until = is_open.end.isoformat() if is_open else None
        return {"windows": {"open_until": until, "faults": self._faults}}

    def _usable(self, text: str) -> Iterator[Window]:
        try:
            windows = read_windows(text)
        except WindowError as error:
            self._faults.append(f"{VARIABLE} cannot be read: {error}")
            return
        for window in windows:
            try:
                window.zone  # noqa: B018 - reads the zone, which this image may not have
            except WindowError as error:
                self._faults.append(f"the window {window} cannot be used: {error}")
            else:
                yield window

    def _around(self, now: datetime) -> tuple[Span | None, Span | None]:
        return spans_around(self._windows, now)
