"""The proxy's loop that suspends or stops machines without load.

Fly checks each region every few minutes. Of several machines it stops one when the others can take
the load, and a single machine only at load 0. At least `min_machines_running` stay in the primary
region.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localfly.proxy.services import primary_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from localfly.proxy.balance import Candidate
    from localfly.proxy.host import Host
    from localfly.proxy.router import Router


@dataclass(frozen=True)
class AutostopSettings:
    """Settings of the loop.

    Attributes:
        interval_s: The time between two passes. Fly says "every few minutes"; about five are reported.
        load: The load of a machine: the requests in flight at the pass ("sampled"), or their
            maximum since the previous pass ("windowed"). Fly does not document which it is.
    """

    interval_s: float = 300.0
    load: Literal["sampled", "windowed"] = "sampled"


def choose(pool: Sequence[Candidate], loads: dict[str, int]) -> list[Candidate]:
    """Return the machines to suspend or stop now: at most one in each region."""
    regions: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in pool:
        if candidate.machine.state == "started":
            regions[candidate.machine.region].append(candidate)
    chosen = (_choose_in_region(group, loads) for group in regions.values())
    return [candidate for candidate in chosen if candidate]


def _choose_in_region(group: Sequence[Candidate], loads: dict[str, int]) -> Candidate | None:
    over_soft = sum(loads.get(c.machine.id, 0) > c.service.soft_limit for c in group)
    idle = [
        c for c in group if c.service.autostop != "off" and not loads.get(c.machine.id, 0)
    ]  # a machine with active connections is not stopped (Fly, "Managing machines")
    excess = len(group) - (over_soft + 1) if len(group) > 1 else 1
    if excess < 1 or not idle or len(group) <= _kept_running(group):
        return None
    return max(idle, key=lambda c: c.machine.name)


def _kept_running(group: Sequence[Candidate]) -> int:
    """Return how many machines must keep running, which only the primary region requires."""
    return max(
        c.service.min_machines_running
        if primary_region(c.machine.config) in (None, c.machine.region)
        else 0
        for c in group
    )


class Autostop:
    """Runs the passes over all apps of a proxy."""

    def __init__(
        self,
        host: Host,
        routers: Callable[[], Iterable[Router]],
        settings: AutostopSettings,
    ) -> None:
        self._host = host
        self._routers = routers
        self._settings = settings

    async def run(self) -> None:
        """Run passes at intervals until cancelled."""
        while True:
            await asyncio.sleep(self._settings.interval_s)
            await self.sweep()

    async def sweep(self) -> None:
        """Run one pass over every app."""
        for router in list(self._routers()):
            loads = router.take_peaks() if self._settings.load == "windowed" else router.loads
            for candidate in choose(router.candidates(), loads):
                await self._put_to_sleep(router, candidate)

    async def _put_to_sleep(self, router: Router, candidate: Candidate) -> None:
        machine = candidate.machine
        action = candidate.service.autostop
        verb = "Suspending" if action == "suspend" else "Downscaling"
        self._host.log(router.app, machine.id, f"{verb} machine {machine.id}: no load")
        try:
            await router.put_to_sleep(machine.id, action)
        except Exception as error:  # noqa: BLE001 - a failure of one machine must not end the loop
            line = f"[PM07] failed to change machine state: {error}"
            self._host.log(router.app, machine.id, line)
