"""Time, and the wish of others that the machine stops."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class Clock:
    """Real time. Each wait ends early when a stop was asked for."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stopping.is_set()

    def ask_to_stop(self) -> None:
        """Ask for a stop; a signal's handler calls it."""
        self._stopping.set()

    def seconds(self) -> float:
        """Return the seconds of a clock that is never set back."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> bool:
        """Wait until the time is over or a stop was asked for; return whether it was."""
        return self._stopping.wait(seconds)

    def sleep(self, seconds: float) -> None:
        """Wait, also while the machine stops."""
        time.sleep(seconds)
