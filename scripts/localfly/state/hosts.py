"""The hosts of machines and volumes, and which of them do not answer in this weather."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from localfly.state.weather import Weather


class Hosts:
    """Hosts by number, in the order in which something was placed on each first.

    Whether a host dies is decided by the weather's seed and its number. What runs on a dead host
    goes on; nobody reaches it until the host is back.

    Args:
        weather: which share of hosts dies, when, and for how long.
        known: the numbers of the hosts on which something was placed by an earlier daemon.
        now: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        weather: Weather,
        known: Iterable[int] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._weather = weather
        self._now = now
        self._since = dict.fromkeys(known, now())
        self._last = max(self._since, default=0)

    def new(self) -> int:
        """Return the number of a host on which nothing was placed before."""
        self._last += 1
        self._since[self._last] = self._now()
        return self._last

    def answers(self, host: int) -> bool:
        """Return whether a host answers now."""
        weather = self._weather
        if not weather.hosts_die or not self._dies(host):
            return True
        dead_s = self._now() - self._since[host] - weather.host_dies_after_s
        return dead_s < 0 or 0 < weather.host_back_after_s <= dead_s

    def _dies(self, host: int) -> bool:
        dice = random.Random(f"{self._weather.seed} host {host}")  # noqa: S311 - weather is no secret
        return dice.random() < self._weather.hosts_die
