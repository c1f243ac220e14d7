"""Count the time in which this server was awake, to know how long somebody was really silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

SLACK_S = 30.0
"""A longer time between two looks, in seconds, was a suspend, not work."""


@dataclass
class AwakeClock:
    """Counts the seconds in which this server was awake and open to clients.

    A server that was suspended, or in maintenance mode, could not see a flow server.
    """

    wall: Callable[[], float] = time.time
    is_open: Callable[[], bool] = lambda: True
    seconds: float = 0.0
    _at: float | None = field(default=None, init=False)

    def tick(self) -> None:
        """Count the time since the last call, unless this server was away meanwhile."""
        now = self.wall()
        since = now - self._at if self._at is not None else 0.0
        if 0 <= since <= SLACK_S and self.is_open():
            self.seconds += since
        self._at = now
