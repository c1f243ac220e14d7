"""Count who else keeps the server awake: the sockets and polls of clients that are no flow server."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

MINUTE_S = 60.0


@dataclass
class Clients:
    """The sockets and polls of everybody but the flow servers: they keep the server awake."""

    clock: Callable[[], float] = time.monotonic
    sockets: int = 0
    flow_server_sockets: int = 0
    _polls: deque[float] = field(default_factory=deque)

    def note_poll(self) -> None:
        """Count a poll for work."""
        self._polls.append(self.clock())
        self._drop_old()

    def report(self) -> dict[str, int]:
        """Return the open sockets, and the polls of the last minute."""
        self._drop_old()
        return {
            "sockets": self.sockets,
            "polls_last_minute": len(self._polls),
            "flow_server_sockets": self.flow_server_sockets,
        }

    def _drop_old(self) -> None:
        while self._polls and self._polls[0] < self.clock() - MINUTE_S:
            self._polls.popleft()
