"""Log when the volume fills up, while the server is awake."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOK_S = 60.0
STEPS_PERCENT = (80, 90, 95)
GB = 1024**3
ADVICE = (
    "raise database.volume_gb, let Fly extend it with database.extend, or keep less with "
    "database.retention, and apply"
)


@dataclass(frozen=True)
class Space:
    """The size and the free space of a file system, in bytes."""

    total: int
    free: int

    @property
    def used_percent(self) -> int:
        """The used share in percent, rounded down."""
        return 100 * (self.total - self.free) // self.total if self.total else 0


def look(folder: Path) -> Space:
    """Return the space of the file system that holds a folder."""
    seen = os.statvfs(folder)
    return Space(seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize)


def step_reached(percent: int) -> int:
    """Return the highest step that a percentage reaches, or 0 below the first step."""
    return max((step for step in STEPS_PERCENT if percent >= step), default=0)


async def watch_disk(
    folder: Path, every_s: float = LOOK_S, measure: Callable[[Path], Space] = look
) -> None:
    """Log each step once when the volume reaches it, until cancelled.

    Below a step, the step is logged again the next time. A folder that does not exist yet, as
    before the first row, is checked again later.
    """
    logged = 0
    while True:
        try:
            space = measure(folder)
        except FileNotFoundError:
            await asyncio.sleep(every_s)
            continue
        reached = step_reached(space.used_percent)
        if reached > logged:
            print(
                f"roost: the volume is {space.used_percent} % full, {space.free / GB:.2f} of "
                f"{space.total / GB:.2f} GB are free: {ADVICE}",
                flush=True,
            )
        logged = reached
        await asyncio.sleep(every_s)
