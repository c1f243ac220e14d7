"""Look at the volume now and then, while the server is awake, and log when it fills up."""

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
    """How much of a file system is there and free, in bytes."""

    total: int
    free: int

    @property
    def used_percent(self) -> int:
        """How full it is, rounded down."""
        return 100 * (self.total - self.free) // self.total if self.total else 0


def look(folder: Path) -> Space:
    """Return the space of the file system that a folder is on."""
    seen = os.statvfs(folder)
    return Space(seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize)


def step_reached(percent: int) -> int:
    """Return the highest step that a percentage has reached; 0 below them all."""
    return max((step for step in STEPS_PERCENT if percent >= step), default=0)


async def watch_disk(
    folder: Path, every_s: float = LOOK_S, measure: Callable[[Path], Space] = look
) -> None:
    """Log each step that the volume reaches, once, until cancelled; below a step it counts anew.

    A folder that is not there yet, as before the first row, is looked at again later.
    """
    told = 0
    while True:
        try:
            space = measure(folder)
        except FileNotFoundError:
            await asyncio.sleep(every_s)
            continue
        reached = step_reached(space.used_percent)
        if reached > told:
            print(
                f"roost: the volume is {space.used_percent} % full, {space.free / GB:.2f} of "
                f"{space.total / GB:.2f} GB are free: {ADVICE}",
                flush=True,
            )
        told = reached
        await asyncio.sleep(every_s)
