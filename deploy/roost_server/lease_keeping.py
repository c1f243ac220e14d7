"""What a server on a volume does for concurrency leases across a stop: it keeps them, and gives their holders time.

Prefect keeps leases in memory: after any restart the next renewal is refused, the run that holds the
lease crashes, and its slot is never given back. See `leases`, which keeps them on the volume.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roost_server.settings import home_folder

# Prefect's clients try again after at most 32 s and a fifth of it more.
GRACE_S = 60.0
# Late by so much more than two rounds, a look at the leases was delayed by sleep, not by work.
SLACK_S = 30.0


@dataclass
class Grace:
    """Whether holders had the time to renew a lease that ran out while the server was away.

    A holder whose server sleeps, starts, or lets only the gate in cannot renew. So a lease is not
    taken away before the server has been there for everybody for a while.
    """

    is_open: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = time.time
    lasts_s: float = GRACE_S
    _since: float = 0.0
    _looked: float | None = None

    def is_over(self, every_s: float) -> bool:
        """Return whether leases that ran out may be taken away; asked every so many seconds."""
        now, looked = self.clock(), self._looked
        was_there = looked is not None and 0 <= now - looked <= 2 * every_s + SLACK_S
        if not was_there or not self.is_open():
            self._since = now
        self._looked = now
        return now - self._since >= self.lasts_s


# One server, one grace; Prefect makes a storage for each request.
GRACE = Grace()


def clear_locks(environ: Mapping[str, str]) -> None:
    """Remove the lock of leases that a killed server left behind; nobody else is on its volume.

    Prefect believes such a lock while a process of that number lives, and after a restart of a
    machine that is often the new server itself: it would wait for itself for ever.
    """
    for lock in home_folder(environ).glob("concurrency_leases/*.lock"):
        lock.unlink(missing_ok=True)
