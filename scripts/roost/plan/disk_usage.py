"""Warn of a volume that fills up. Uses Fly's figures, so no machine is woken. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from roost.fly.models import Volume
from roost.plan.desired import DesiredVolume

FULL_PERCENT = 80
GB = 1024**3


def used_percent(volume: Volume) -> int | None:
    """Return the used percentage of a volume, rounded down; None if Fly does not report it."""
    if volume.blocks <= 0 or volume.block_size <= 0 or volume.blocks_avail > volume.blocks:
        return None
    return 100 * (volume.blocks - volume.blocks_avail) // volume.blocks


def fullness_notes(wanted: DesiredVolume, volume: Volume) -> Iterator[str]:
    """Return a warning and a remedy for a volume that is at least `FULL_PERCENT` full."""
    percent = used_percent(volume)
    if percent is None or percent < FULL_PERCENT:
        return
    free_gb = volume.blocks_avail * volume.block_size / GB
    usage = (
        f"The volume {volume.id} is {percent} % full: {free_gb:.1f} of {volume.size_gb} GB are "
        "free. A server on a full volume refuses every write."
    )
    if wanted.section != "database":
        yield f"{usage} Raise {wanted.section}.volume_gb."
    elif volume.size_gb < wanted.limit_gb:
        yield f"{usage} Fly extends it by itself, up to {wanted.limit_gb} GB."
    elif wanted.limit_gb:
        yield f"{usage} It is at its limit: raise database.extend.limit_gb, or {_LESS}."
    else:
        yield (
            f"{usage} Raise database.volume_gb, let Fly extend it with database.extend, or {_LESS}."
        )


_LESS = "keep less with database.retention"
