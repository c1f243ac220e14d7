"""What backups there are: Fly's snapshots, with what we remember of each. Pure.

A snapshot itself has no name. Release records say which were made before a change; of those made by
`roost backup` a note stands in the machine's metadata.
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
"""How the record of a restore begins to say why it is there."""
BEFORE_RESTORE = "before a restore"
DONE = "created"
_FLY_DEFAULT_DAYS = 5


class Rest(Enum):
    """How still a volume was when it was copied."""

    HELD = "held"
    """The server held its database still, its log emptied: every row acknowledged before is in it."""
    FLUSHED = "flushed"
    """As above when it began, but the copy took longer than the server holds still."""
    STOPPED = "stopped"
    """Nothing ran on it."""
    RUNNING = "running"
    """As after a power cut: whole, but the last acknowledged rows may be missing."""


@dataclass(frozen=True)
class Note:
    """What is remembered of a snapshot."""

    why: str
    rest: Rest | None = None
    before_restore: bool = False
    """Whether it holds what a restore was to take the place of."""


@dataclass(frozen=True)
class Backup:
    """One snapshot, as people ask about it; times as RFC 3339 writes them."""

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
        """Whether one can restore it."""
        return self.state == DONE


def list_backups(
    found: Mapping[str, Iterable[Snapshot]],
    machines: Iterable[Machine],
    releases: Iterable[Release],
) -> tuple[Backup, ...]:
    """Return every backup, the newest first, and after them what a record names and is no more.

    Args:
        found: the snapshots of each volume.
        machines: the environment's, whose metadata has our notes.
        releases: what the machines remember of them.
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
    """Return the newest backup to restore: to restore twice does not undo what the first time did."""
    return next((b for b in backups if b.usable and not b.before_restore), None)


def release_notes(releases: Iterable[Release]) -> dict[str, Note]:
    """Return what release records say of snapshots."""
    return {
        release.snapshot: Note(
            f"before release {release.number}", before_restore=release.why.startswith(RESTORE_OF)
        )
        for release in releases
        if release.snapshot
    }


def read_notes(machines: Iterable[Machine]) -> dict[str, Note]:
    """Return the notes that machines carry; what is none, whoever wrote it, is left out."""
    notes: dict[str, Note] = {}
    for machine in machines:
        notes.update(_decoded(machine.metadata.get(NOTES_KEY, "")))
    return notes


def with_note(machine: Machine, snapshot: str, note: Note) -> dict[str, str]:
    """Return the metadata that adds a note, without the oldest of too many."""
    notes = {**read_notes([machine]), snapshot: note}
    kept = dict(list(notes.items())[-NOTES_KEPT:])
    return {NOTES_KEY: canonical([_encoded(key, kept[key]) for key in kept])}


def kept_until(snapshot: Snapshot) -> str:
    """Return when Fly deletes a snapshot; empty where it does not tell when it was made."""
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
    """Say of a snapshot without a note why it is there; the notes go with the machine."""
    if not machines:
        return Note("not known: what was noted went with the machine")
    used = {machine.mounted_volume for machine in machines}
    if volume in retained_volumes(machines) and volume not in used:
        return Note("daily, by Fly, of the volume from before a restore", before_restore=True)
    return Note("daily, by Fly")


def _gone(notes: Mapping[str, Note], known: set[str]) -> Iterator[Backup]:
    for snapshot, note in notes.items():
        if snapshot not in known:
            yield Backup(snapshot, "", "", 0, 0, "gone", "", note.why, "")


def _encoded(snapshot: str, note: Note) -> list[str]:
    told = [snapshot, note.why, note.rest.value if note.rest else ""]
    return [*told, BEFORE_RESTORE] if note.before_restore else told


def _decoded(text: str) -> dict[str, Note]:
    try:
        return {
            str(snapshot): Note(str(why), Rest(rest) if rest else None, BEFORE_RESTORE in more)
            for snapshot, why, rest, *more in json.loads(text or "[]")
        }
    except (ValueError, TypeError, RecursionError):
        return {}


def retained_volumes(machines: Iterable[Machine]) -> tuple[str, ...]:
    """Return the ids of the volumes that restores left behind, until somebody confirms."""
    texts = (machine.metadata.get(KEPT_KEY, "") for machine in machines)
    return tuple(dict.fromkeys(name for text in texts for name in text.split(",") if name))


def retained_entry(volumes: Iterable[str]) -> dict[str, str]:
    """Return the metadata that holds those ids."""
    return {KEPT_KEY: ",".join(dict.fromkeys(volumes))}
