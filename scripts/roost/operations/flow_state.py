"""The state of what stands beside a server: machines and releases, as Fly has them. Nothing is woken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from roost.environment.load import EnvironmentFile
from roost.environment.units import beside
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.operations.fly_target import Target
from roost.operations.server_state import (
    ASLEEP,
    exit_notes,
    last_death,
    last_exit,
    our_machines_in,
    verdict_notes,
)
from roost.plan.desired import always_on
from roost.plan.live import read_live
from roost.plan.redis_health import RedisHealth, redis_health
from roost.plan.releases import Release, current, releases_on


@dataclass(frozen=True)
class FlowState:
    """One flow server, the waker, or a Redis.

    Args:
        name: `ENVIRONMENT.NAME`.
        app: its app.
        machines: its machines; none if it was not applied yet.
        release: its live release, if any.
        means: what happens while it does not run, for people.
        health: what Redis says of itself; empty for others.
    """

    name: str
    app: str
    machines: tuple[Machine, ...]
    release: Release | None
    means: str = "no run of it starts"
    health: RedisHealth | None = None

    @property
    def healthy(self) -> bool:
        """Whether nobody has to act: no machine failed, and none is stopped that has to run."""
        failed = any(m.state != "started" and last_death(m) for m in self.machines)
        return not failed and not self.missing and (self.health is None or self.health.good)

    @property
    def missing(self) -> int:
        """How many machines should run all the time and are asleep or stopped: somebody did that."""
        running = [m for m in self.machines if m.state not in ASLEEP]
        return max(always_on([m.config for m in self.machines]) - len(running), 0)

    def notes(self) -> Iterator[str]:
        """Yield what a person should know, with the next step."""
        if not self.machines:
            yield f"{self.name} has no machine. Make one: {Command('apply', self.name)}"
        if self.missing:
            yield (
                f"{self.name} has to run all the time, and its machine is stopped: {self.means}. "
                f"Start it: {Command('apply', self.name)}"
            )
        if self.health:
            yield f"{self.name}: {self.health.text}"
        yield from (f"{self.name}: {note}" for note in exit_notes(self.machines))
        yield from (f"{self.name}: {note}" for note in verdict_notes(self.name, self.release))

    def document(self) -> dict[str, object]:
        """Return the state as JSON."""
        release = self.release
        return {
            "name": self.name,
            "app": self.app,
            "release": release and {"number": release.number, "verdict": release.verdict.value},
            **({"health": vars(self.health)} if self.health else {}),
            "machines": [
                {"id": m.id, "name": m.name, "state": m.state, "last_exit": last_exit(m)}
                for m in self.machines
            ],
        }


async def flow_states(target: Target, file: EnvironmentFile) -> tuple[FlowState, ...]:
    """Read what stands beside an environment's server from Fly."""
    found = []
    for unit in beside(file):
        ours = our_machines_in(unit, await read_live(target.fly, unit.environment.app))
        release = current(releases_on(ours))
        found.append(
            FlowState(
                *(unit.name, unit.environment.app, ours, release),
                means=_means(unit),
                health=redis_health(ours) if unit.redis else None,
            )
        )
    return tuple(found)


def _means(unit: EnvironmentFile) -> str:
    """Return what happens while what stands beside a server does not run."""
    if unit.redis:
        return "the server answers 503 to writes"
    return "it wakes no server" if unit.waker else "no run of it starts"
