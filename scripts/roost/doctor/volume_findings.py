"""A volume that is full or fills up, and the size to set, with its cost. Pure but for the file."""

from __future__ import annotations

from collections.abc import Iterator

from roost.doctor.check import Check, State, ok
from roost.doctor.file_change import set_values
from roost.doctor.server_facts import ServerFacts
from roost.environment.edit import Place
from roost.environment.model import SqliteDatabase
from roost.environment.scale import Value
from roost.errors.command import Command
from roost.fly.models import Volume
from roost.plan.disk_usage import FULL_PERCENT, GB, used_percent

MOST_GB = 500


def larger_volume(facts: ServerFacts) -> tuple[str, str]:
    """Return what to set for a full volume, with its cost, and the diff that sets it."""
    database = facts.file.environment.database
    if not isinstance(database, SqliteDatabase):
        return "the disk of the database is full: make room there", ""
    size_gb = max([database.volume_gb, *(volume.size_gb for volume in _ours(facts))])
    wanted = min(MOST_GB, 2 * size_gb)
    price = facts.prices.volume_gb
    # A file without the section gets it whole.
    values: dict[Place, Value] = {
        ("database", "backend"): "sqlite",
        ("database", "volume_gb"): wanted,
    }
    change = set_values(facts.file, values)
    what = (
        f"give the volume {wanted} GB: ${wanted * price:.2f} a month, now ${size_gb * price:.2f}; or keep "
        "less with database.retention"
    )
    return what, change


def volume_findings(facts: ServerFacts) -> Iterator[Check]:
    """Return how full each volume is, by Fly's figures."""
    for volume in _ours(facts):
        percent = used_percent(volume)
        if percent is None:
            continue
        free_gb = volume.blocks_avail * volume.block_size / GB
        used = f"the volume {volume.id} is {percent} % full, {free_gb:.2f} of {volume.size_gb} GB are free"
        if percent < FULL_PERCENT:
            yield ok(used, facts.name)
            continue
        mend, change = larger_volume(facts)
        yield Check(
            State.WRONG,
            f"{used}; on a full volume every write is refused",
            mend,
            facts.name,
            evidence=(f"Fly's figures: {volume.blocks_avail} of {volume.blocks} blocks are free",),
            change=change,
            commands=(Command("apply", facts.name),),
        )


def is_filling(facts: ServerFacts) -> bool:
    """Return whether a volume is so full that `volume_findings` reports it."""
    return any((used_percent(volume) or 0) >= FULL_PERCENT for volume in _ours(facts))


def _ours(facts: ServerFacts) -> tuple[Volume, ...]:
    mounted = {machine.mounted_volume for machine in facts.machines}
    return tuple(volume for volume in facts.volumes if volume.id in mounted)
