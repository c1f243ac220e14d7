"""Keep concurrency leases over a stop, and give their holders time to renew them.

Prefect keeps leases in memory. After a restart it refuses the next renewal, the run that holds the
lease crashes, and its slot is never released. `leases` keeps them on the volume instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roost_server.settings import home_folder

# Prefect's clients retry after at most 32 s plus a jitter of 20 %.
GRACE_S = 60.0
# A check that is later than this after two rounds was delayed by a suspend, not by work.
SLACK_S = 30.0


@dataclass
class Grace:
    """Whether holders have had time to renew a lease that expired while the server was away.

    A holder cannot renew while the server is suspended, starts, or is in maintenance mode. So a
    lease is revoked only after the server has been available to all clients for a while.
    """

    is_open: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = time.time
    lasts_s: float = GRACE_S
    _since: float = 0.0
    _looked: float | None = None

    def is_over(self, every_s: float) -> bool:
        """Return whether expired leases may be revoked; Prefect asks every `every_s` seconds."""
        now, looked = self.clock(), self._looked
        was_there = looked is not None and 0 <= now - looked <= 2 * every_s + SLACK_S
        if not was_there or not self.is_open():
            self._since = now
        self._looked = now
        return now - self._since >= self.lasts_s


# One for the process: Prefect creates a lease storage for each request.
GRACE = Grace()


def clear_locks(environ: Mapping[str, str]) -> None:
    """Remove lock files of leases that a killed server left; no other server uses this volume.

    Prefect trusts such a lock while a process with its number lives. After a restart of the machine
    that is often the new server itself, which would wait for itself forever.
    """
    for lock in home_folder(environ).glob("concurrency_leases/*.lock"):
        lock.unlink(missing_ok=True)
