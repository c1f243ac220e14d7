"""A machine that was killed because its memory was full, and the size to set, with its cost. Pure but for the file."""

from __future__ import annotations

from collections.abc import Iterator

from roost.doctor.check import Check, State
from roost.doctor.file_change import set_values
from roost.doctor.server_facts import ServerFacts, end_text, ends_since_config
from roost.environment.edit import Place
from roost.environment.fields import SIZES
from roost.environment.machine_memory import kind_and_cpus, memory_range
from roost.environment.scale import Value
from roost.errors.command import Command
from roost.fly.models import MachineEvent
from roost.plan.cost import machine_month

SUSPEND_MOST_MB = 2048
"""Fly suspends machines of up to so much memory (fly.io/docs/reference/suspend-resume)."""
_MOST_EVIDENCE = 3


def memory_killed(facts: ServerFacts) -> list[MachineEvent]:
    """Return the exits of the machines because of full memory, since their present config."""
    ends = (event for machine in facts.machines for event in ends_since_config(machine))
    return [event for event in ends if (event.exit_event or {}).get("oom_killed")]


def memory_findings(facts: ServerFacts) -> Iterator[Check]:
    """Return the finding of full memory, if a machine was killed for it since its last change."""
    killed = memory_killed(facts)
    if not killed:
        return
    machine = facts.file.environment.machine
    values = _larger(facts)
    often = "once" if len(killed) == 1 else f"{len(killed)} times"
    size = values.get(("machine", "size"), machine.size)
    memory_mb = values.get(("machine", "memory_mb"), machine.memory_mb)
    before = _month(facts, machine.size, machine.memory_mb)
    after = _month(facts, str(size), int(memory_mb))
    yield Check(
        State.WRONG,
        f"its memory was full, and the machine was killed {often} since its last change "
        f"({machine.size}, {machine.memory_mb} MB)",
        f"give it {memory_mb} MB ({size}): ${after:.2f} a month if it is always awake, now "
        f"${before:.2f}; asleep it costs the same",
        facts.name,
        evidence=tuple(end_text(event) for event in killed[:_MOST_EVIDENCE]),
        change=set_values(facts.file, values),
        commands=(Command("apply", facts.name),),
    )


def _larger(facts: ServerFacts) -> dict[Place, Value]:
    """Return the values of the next size with about twice the memory."""
    environment = facts.file.environment
    machine = environment.machine
    kind, cpus = kind_and_cpus(machine.size)
    memory_mb = memory_range(kind, cpus).larger(machine.memory_mb)
    values: dict[Place, Value] = {}
    if memory_mb is None:
        size = SIZES[min(SIZES.index(machine.size) + 1, len(SIZES) - 1)]
        values["machine", "size"] = size
        memory_mb = min(memory_range(*kind_and_cpus(size)).high, 2 * machine.memory_mb)
    values["machine", "memory_mb"] = memory_mb
    if memory_mb > SUSPEND_MOST_MB and environment.scaling.autostop == "suspend":
        values["scaling", "autostop"] = "stop"
    return values


def _month(facts: ServerFacts, size: str, memory_mb: int) -> float:
    kind, cpus = kind_and_cpus(size)
    guest = {"cpu_kind": kind, "cpus": cpus, "memory_mb": memory_mb}
    environment = facts.file.environment
    return machine_month(facts.prices, guest, environment.region) * len(facts.machines)
