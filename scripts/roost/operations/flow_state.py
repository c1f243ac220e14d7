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
    exit_notes,
    last_death,
    last_exit,
    our_machines_in,
    verdict_notes,
)
from roost.plan.live import read_live
from roost.plan.releases import Release, current, releases_on


@dataclass(frozen=True)
class FlowState:
    """One flow server, or the waker.

    Args:
        name: `ENVIRONMENT.NAME`.
        app: its app.
        machines: its machines; none if it was not applied yet.
        release: its live release, if any.
    """

    name: str
    app: str
    machines: tuple[Machine, ...]
    release: Release | None

    @property
    def healthy(self) -> bool:
        """Whether nobody has to act: no machine failed."""
        return not any(m.state != "started" and last_death(m) for m in self.machines)

    def notes(self) -> Iterator[str]:
        """Yield what a person should know, with the next step."""
        if not self.machines:
            yield f"{self.name} has no machine. Make one: {Command('apply', self.name)}"
        yield from (f"{self.name}: {note}" for note in exit_notes(self.machines))
        yield from (f"{self.name}: {note}" for note in verdict_notes(self.name, self.release))

    def document(self) -> dict[str, object]:
        """Return the state as JSON."""
        release = self.release
        return {
            "name": self.name,
            "app": self.app,
            "release": release and {"number": release.number, "verdict": release.verdict.value},
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
        found.append(FlowState(unit.name, unit.environment.app, ours, release))
    return tuple(found)
