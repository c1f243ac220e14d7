"""Extend volumes automatically, as a machine's mount asks (`extend_threshold_percent` etc.).

Fly documents the three fields (https://docs.machines.dev, fly.MachineMount), not how often it
checks. Here a running machine's volume is checked every few seconds. As on Fly, a full volume grows
by `add_size_gb` up to its limit, and never shrinks. A folder has no size limit, so the used share is
computed from the volume's size and its files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localfly.state.records import Machine, Volume
from localfly.state.world import World, folder_bytes

Json = dict[str, Any]
LOOK_S = 2.0
GB = 1024**3
RUNNING = "started"


async def keep_extending(world: World, every_s: float = LOOK_S) -> None:
    """Extend volumes that are full enough, at intervals, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        await extend_due(world)


async def extend_due(world: World, measure: Callable[[Path], int] = folder_bytes) -> None:
    """Extend each volume of a started machine once if it is full enough.

    Args:
        world: the machines and volumes.
        measure: returns the bytes in a folder; called in a thread.
    """
    for machine in list(world.machines.values()):
        volume = world.volume_of(machine) if machine.state == RUNNING else None
        if volume is None or not _extends(mount_of(machine)):
            continue
        used = await asyncio.to_thread(measure, world.volume_folder(volume.id))
        if world.volumes.get(volume.id) is volume:  # its app may have been deleted meanwhile
            extend(world, volume, mount_of(machine), used)


def mount_of(machine: Machine) -> Json:
    """Return a machine's mount; an empty one if it has none."""
    mounts: list[Json] = machine.config.get("mounts") or [{}]
    return mounts[0]


def extend(world: World, volume: Volume, mount: Json, used: int) -> bool:
    """Extend a volume once if `used` bytes reach its mount's threshold; return whether it was."""
    size = extended_gb(volume.size_gb, mount, used)
    if size == volume.size_gb:
        return False
    volume.size_gb = size
    world.save(volume)
    return True


def extended_gb(size_gb: int, mount: Json, used: int) -> int:
    """Return a volume's size in GB after applying its mount's rules."""
    if not _extends(mount) or used * 100 < mount["extend_threshold_percent"] * size_gb * GB:
        return size_gb
    larger: int = size_gb + mount["add_size_gb"]
    limit: int = mount.get("size_gb_limit") or larger
    return max(size_gb, min(larger, limit))


def _extends(mount: Json) -> bool:
    return bool(mount.get("extend_threshold_percent") and mount.get("add_size_gb"))
