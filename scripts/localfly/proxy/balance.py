"""Choose the machine for a request, as a pure function.

Fly routes to the least loaded machine below its hard limit. When all running machines are above
their soft limit, or none runs, it starts a sleeping one. A cordoned machine, or one with a failing
check, gets no requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localfly.proxy.services import Service, web_service

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from localfly.proxy.host import MachineView

ASLEEP = (
    "suspended",
    "suspending",
    "stopped",
)  # in the order in which they are preferred for a wake
_ON_THE_WAY = ("starting", "restarting", "updating", "replacing", "stopping")


@dataclass(frozen=True)
class Candidate:
    """A machine, its service, and its current number of requests."""

    machine: MachineView
    service: Service
    load: int

    @property
    def serving(self) -> bool:
        """Whether it runs and no check fails."""
        return self.machine.state == "started" and self.machine.checks_passing is not False

    @property
    def wakeable(self) -> bool:
        """Whether a request may wake it."""
        return self.machine.state in ASLEEP and self.service.autostart

    @property
    def open(self) -> bool:
        """Whether it may get one more request."""
        return self.serving and (
            self.service.hard_limit is None or self.load < self.service.hard_limit
        )


@dataclass(frozen=True)
class Route:
    """Send the request to this machine; `also_wake` names a machine to start for later requests."""

    to: Candidate
    also_wake: str | None = None


@dataclass(frozen=True)
class Wake:
    """Hold the request and start this machine."""

    machine_id: str


@dataclass(frozen=True)
class Hold:
    """Hold the request until something changes; the code and reason apply if nothing does."""

    code: str
    reason: str


@dataclass(frozen=True)
class Refuse:
    """Refuse the request, because waiting cannot help; Fly's code and the reason."""

    code: str
    reason: str


Decision = Route | Wake | Hold | Refuse


def candidates(
    machines: Sequence[MachineView],
    loads: Mapping[str, int],
    *,
    only: str | None = None,
    service_of: Callable[[MachineView], Service | None] = lambda m: web_service(m.config),
) -> list[Candidate]:
    """Return the machines with a service that are not cordoned; `only` selects one of them."""
    return [
        Candidate(machine, service, loads.get(machine.id, 0))
        for machine in machines
        if not machine.cordoned
        and only in (None, machine.id)
        and (service := service_of(machine)) is not None
    ]


def decide(pool: Sequence[Candidate], *, refused: Collection[str] = ()) -> Decision:
    """Return what to do with a request; `refused` has the machines that failed to start for it."""
    wakeable = sorted(
        (c for c in pool if c.wakeable and c.machine.id not in refused),
        key=lambda c: (ASLEEP.index(c.machine.state), c.machine.name, c.machine.id),
    )
    if any(c.open for c in pool):
        return _route([c for c in pool if c.serving], wakeable)
    if wakeable:
        return Wake(wakeable[0].machine.id)
    return _hold(pool) or _refuse(pool)


def _route(serving: Sequence[Candidate], wakeable: Sequence[Candidate]) -> Route:
    chosen = min((c for c in serving if c.open), key=lambda c: (c.load, c.machine.name))
    crowded = all(c.load >= c.service.soft_limit for c in serving)
    return Route(chosen, wakeable[0].machine.id if crowded and wakeable else None)


def _hold(pool: Sequence[Candidate]) -> Hold | None:
    """Return why to wait; None if waiting cannot help."""
    if any(c.serving for c in pool):
        return Hold("PR01", "every machine is at its hard limit")
    if any(c.machine.state == "started" for c in pool):
        return Hold("PR01", "no machine passes its health check")
    if any(c.machine.state in _ON_THE_WAY for c in pool):
        return Hold("PM08", "the machine is between two states")
    return None


def _refuse(pool: Sequence[Candidate]) -> Refuse:
    if not pool:
        return Refuse("PR01", "no machine offers a service")
    states = ", ".join(sorted({c.machine.state for c in pool}))
    if any(c.machine.state in ASLEEP and not c.service.autostart for c in pool):
        return Refuse("PR01", "no machine runs, and autostart is off")
    return Refuse("PM08", f"no machine can be started from its state ({states})")
