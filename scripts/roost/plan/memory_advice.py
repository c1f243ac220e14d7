"""What to change when the memory of a machine was full. Pure."""

from __future__ import annotations

from roost.environment.machine_memory import SHARED, memory_range
from roost.fly.models import Machine

OTHERWISE = "Raise memory_mb of its machine and apply again."


def memory_advice(machine: Machine) -> str:
    """Return the next step for a machine that was killed because its memory was full.

    It names twice the memory, as far as the size has that; the plan shows what it costs.
    """
    guest = (machine.config or machine.incomplete_config or {}).get("guest")
    if not isinstance(guest, dict):
        return OTHERWISE
    cpus, memory_mb = guest.get("cpus"), guest.get("memory_mb")
    if not isinstance(cpus, int) or not isinstance(memory_mb, int):
        return OTHERWISE
    larger = memory_range(guest.get("cpu_kind") or SHARED, cpus).larger(memory_mb)
    if larger is None:
        return (
            f"It had {memory_mb} MB, the most that its size has. Set size of its machine to one with "
            "more CPUs, raise memory_mb, and apply again."
        )
    return f"It had {memory_mb} MB. Set memory_mb of its machine to {larger} and apply again."
