"""What is wrong with the machines of a replicated server, which the others hide from its users. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.ownership import slot_of
from roost.plan.replicas import is_replicated, runs_services


def replica_faults(environment: str, machines: Iterable[Machine]) -> tuple[str, ...]:
    """Return a sentence for each machine of a replicated server that does not run; none for others."""
    ours = [machine for machine in machines if is_replicated(machine.config or {})]
    return tuple(_faults(environment, ours)) if ours else ()


def _faults(environment: str, ours: list[Machine]) -> Iterator[str]:
    step = f"Plan and apply: {Command('plan', environment)}"
    if not any(runs_services(machine.config or {}) for machine in ours):
        yield f"No machine runs the services: schedules make no runs, and no event is stored. {step}"
    for machine in ours:
        if machine.state == "started":
            continue
        meanwhile = "the others serve"
        if runs_services(machine.config or {}):
            meanwhile = "schedules make no runs, and no event is stored"
        yield f"The machine {slot_of(machine)} is {machine.state}: {meanwhile}. {step}"
