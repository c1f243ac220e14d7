"""Volumes that extend themselves, as a machine's mount asks for (`extend_threshold_percent` and its kin).

Fly publishes the three fields (https://docs.machines.dev, fly.MachineMount) and not how often it looks.
Here a running machine's volume is looked at every few seconds. As on Fly, one that is full grows by what
is added, up to the limit, and never shrinks. A folder has no end of its own: how full a volume is
follows from its size and what its files take.
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
    """Extend what is full enough, again and again, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        await extend_full(world)


async def extend_full(world: World, measure: Callable[[Path], int] = folder_bytes) -> None:
    """Extend each volume of a started machine that is full enough, once.

    Args:
        world: what is there.
        measure: returns how many bytes the files of a folder take; called in a thread.
    """
    for machine in list(world.machines.values()):
        volume = world.volume_of(machine) if machine.state == RUNNING else None
        if volume is None or not _extends(mount_of(machine)):
            continue
        used = await asyncio.to_thread(measure, world.volume_folder(volume.id))
        if world.volumes.get(volume.id) is volume:  # else its app was removed meanwhile
            extend(world, volume, mount_of(machine), used)


def mount_of(machine: Machine) -> Json:
    """Return the one mount of a machine; an empty one where it has none."""
    mounts: list[Json] = machine.config.get("mounts") or [{}]
    return mounts[0]


def extend(world: World, volume: Volume, mount: Json, used: int) -> bool:
    """Extend a volume once if its mount asks for it and `used` bytes of it reach the threshold."""
    size = extended_gb(volume.size_gb, mount, used)
    if size == volume.size_gb:
        return False
    volume.size_gb = size
    world.save(volume)
    return True


def extended_gb(size_gb: int, mount: Json, used: int) -> int:
    """Return the size in GB that a volume has once its mount has had its say."""
    if not _extends(mount) or used * 100 < mount["extend_threshold_percent"] * size_gb * GB:
        return size_gb
    larger: int = size_gb + mount["add_size_gb"]
    limit: int = mount.get("size_gb_limit") or larger
    return max(size_gb, min(larger, limit))


def _extends(mount: Json) -> bool:
    return bool(mount.get("extend_threshold_percent") and mount.get("add_size_gb"))
