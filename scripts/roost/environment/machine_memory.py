"""How much memory Fly sells with each machine size. Pure; facts from Fly's page on machine sizing."""

from __future__ import annotations

from dataclasses import dataclass

SHARED, PERFORMANCE = "shared", "performance"
SHARED_MB = (256, 2048)
"""The least and the most memory of a shared virtual CPU, in MB."""
PERFORMANCE_MB = (2048, 8192)
SHARED_STEP_MB, PERFORMANCE_STEP_MB = 256, 1024
"""flyctl refuses other values."""


@dataclass(frozen=True)
class MemoryRange:
    """The memory that a size can have, in MB.

    Args:
        low: the least.
        high: the most.
        step: between two values.
    """

    low: int
    high: int
    step: int

    def larger(self, memory_mb: int) -> int | None:
        """Return twice the memory, or the most there is; None if it is the most already."""
        if memory_mb >= self.high:
            return None
        doubled = max(self.low, 2 * memory_mb)
        return min(self.high, doubled + -doubled % self.step)


def memory_range(kind: str, cpus: int) -> MemoryRange:
    """Return the memory of a size.

    Args:
        kind: the kind of its CPUs, `shared` or `performance`.
        cpus: how many it has.
    """
    shared = kind == SHARED
    low, high = SHARED_MB if shared else PERFORMANCE_MB
    return MemoryRange(cpus * low, cpus * high, SHARED_STEP_MB if shared else PERFORMANCE_STEP_MB)


def kind_and_cpus(size: str) -> tuple[str, int]:
    """Return the two parts of a size's name, such as `shared-cpu-2x`."""
    kind, _, count = size.partition("-")
    return kind, int(count.removeprefix("cpu-").removesuffix("x"))
