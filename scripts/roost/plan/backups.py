"""List backups: Fly's snapshots with the notes that machines carry about them. Pure.

A snapshot has no name. A release record names the snapshot taken before the change, and `roost backup`
leaves a note in the machine's metadata. Metadata also lists the volumes that restores retained.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from roost.fly.models import Machine, Snapshot
from roost.plan.document import canonical
from roost.plan.releases import Release

NOTES_KEY = "roost_backups"
KEPT_KEY = "roost_kept_volumes"
NOTES_KEPT = 40
RESTORE_OF = "restore of "
"""The beginning of `why` in the release record of a restore."""
BEFORE_RESTORE = "before a restore"
DONE = "created"
_FLY_DEFAULT_DAYS = 5


class Rest(Enum):
    """The state of a volume when its snapshot was taken."""

    HELD = "held"
    """Writes were frozen and SQLite's log was emptied: every acknowledged row is in the snapshot."""
    FLUSHED = "flushed"
    """As `HELD` at the beginning, but the snapshot took longer than the freeze lasts."""
    STOPPED = "stopped"
    """No machine ran on the volume."""
    RUNNING = "running"
    """As after a power cut: consistent, but the last acknowledged rows can be missing."""


@dataclass(frozen=True)
class Note:
    """What a machine's metadata says about a snapshot."""

    why: str
    rest: Rest | None = None
    before_restore: bool = False
    """Whether it holds the data that a restore replaced."""


@dataclass(frozen=True)
class Backup:
    """One snapshot with its note. Times are RFC 3339; `size` is in bytes."""

    snapshot: str
    volume: str
    at: str
    size: int
    volume_gb: int
    state: str
    kept_until: str
    why: str
    rest: str
    before_restore: bool = False

    @property
    def usable(self) -> bool:
        """Whether it can be restored."""
        return self.state == DONE


def list_backups(
    found: Mapping[str, Iterable[Snapshot]],
    machines: Iterable[Machine],
    releases: Iterable[Release],
) -> tuple[Backup, ...]:
    """Return every backup, the newest first, then those that are named and no longer exist.

    Args:
        found: the snapshots by volume id.
        machines: the environment's machines, whose metadata has the notes.
        releases: the release records on those machines.
    """
    machines = tuple(machines)
    named = release_notes(releases)
    notes = {**named, **read_notes(machines)}
    there = [
        _backup(snapshot, volume, notes.get(snapshot.id) or _unnoted(volume, machines))
        for volume, snapshots in found.items()
        for snapshot in snapshots
    ]
    known = {backup.snapshot for backup in there}
    there.sort(key=lambda backup: backup.at, reverse=True)
    return (*there, *_gone(named, known))


def newest(backups: Iterable[Backup]) -> Backup | None:
    """Return the newest usable backup; not one of replaced data, so a second restore undoes nothing."""
    return next((b for b in backups if b.usable and not b.before_restore), None)


def release_notes(releases: Iterable[Release]) -> dict[str, Note]:
    """Return the notes that follow from release records, by snapshot."""
    return {
        release.snapshot: Note(
            f"before release {release.number}", before_restore=release.why.startswith(RESTORE_OF)
        )
        for release in releases
        if release.snapshot
    }


def read_notes(machines: Iterable[Machine]) -> dict[str, Note]:
    """Return the notes in the machines' metadata; entries of another form are left out."""
    notes: dict[str, Note] = {}
    for machine in machines:
        notes.update(_decoded(machine.metadata.get(NOTES_KEY, "")))
    return notes


def with_note(machine: Machine, snapshot: str, note: Note) -> dict[str, str]:
    """Return the metadata that adds a note; the oldest notes beyond `NOTES_KEPT` are dropped."""
    notes = {**read_notes([machine]), snapshot: note}
    kept = dict(list(notes.items())[-NOTES_KEPT:])
    return {NOTES_KEY: canonical([_encoded(key, kept[key]) for key in kept])}


def kept_until(snapshot: Snapshot) -> str:
    """Return when Fly deletes a snapshot, as RFC 3339; empty if its creation time is unknown."""
    try:
        made = datetime.fromisoformat(snapshot.created_at)
        ends = made + timedelta(days=snapshot.retention_days or _FLY_DEFAULT_DAYS)
    except (ValueError, OverflowError):
        return ""
    return ends.isoformat(timespec="seconds").replace("+00:00", "Z")


def _backup(snapshot: Snapshot, volume: str, note: Note) -> Backup:
    return Backup(
        snapshot=snapshot.id,
        volume=volume,
        at=snapshot.created_at,
        size=snapshot.size,
        volume_gb=-(-snapshot.volume_size // 1024**3),
        state=snapshot.status,
        kept_until=kept_until(snapshot),
        why=note.why,
        rest=note.rest.value if note.rest else "",
        before_restore=note.before_restore,
    )


def _unnoted(volume: str, machines: tuple[Machine, ...]) -> Note:
    """Return the note for a snapshot without one; notes are lost with their machine."""
    if not machines:
        return Note("unknown: its note was removed with the machine")
    used = {machine.mounted_volume for machine in machines}
    if volume in retained_volumes(machines) and volume not in used:
        return Note("daily, by Fly, of the volume from before a restore", before_restore=True)
    return Note("daily, by Fly")


def _gone(notes: Mapping[str, Note], known: set[str]) -> Iterator[Backup]:
    for snapshot, note in notes.items():
        if snapshot not in known:
            yield Backup(snapshot, "", "", 0, 0, "gone", "", note.why, "")


def _encoded(snapshot: str, note: Note) -> list[str]:
    entry = [snapshot, note.why, note.rest.value if note.rest else ""]
    return [*entry, BEFORE_RESTORE] if note.before_restore else entry


def _decoded(text: str) -> dict[str, Note]:
    try:
        return {
            str(snapshot): Note(str(why), Rest(rest) if rest else None, BEFORE_RESTORE in more)
            for snapshot, why, rest, *more in json.loads(text or "[]")
        }
    except (ValueError, TypeError, RecursionError):
        return {}


def retained_volumes(machines: Iterable[Machine]) -> tuple[str, ...]:
    """Return the ids of the volumes that restores retained, until somebody confirms their removal."""
    texts = (machine.metadata.get(KEPT_KEY, "") for machine in machines)
    return tuple(dict.fromkeys(name for text in texts for name in text.split(",") if name))


def retained_entry(volumes: Iterable[str]) -> dict[str, str]:
    """Return the metadata entry that holds those ids."""
    return {KEPT_KEY: ",".join(dict.fromkeys(volumes))}
