"""The state of a restore: its journal, and what the live state says about it. Pure.

A machine keeps its mount for life, so a restore moves the server to a new machine on a new volume.
Meanwhile the old machine has a journal in its metadata. It is removed with that machine, or when the
restore is undone. A later run reads from it how far the restore came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from roost.errors import UnappliableError
from roost.errors.command import Command
from roost.fly.models import Machine, Volume
from roost.plan.backups import RESTORE_OF, Backup, retained_entry, retained_volumes
from roost.plan.desired import EXTENSION_FIELDS, MOUNT_PATH, VERSION_KEY, VOLUME_NAME, Desired
from roost.plan.document import canonical
from roost.plan.live import Live
from roost.plan.objects_record import outdated
from roost.plan.ownership import is_ours, slot_of
from roost.plan.releases import Release, Verdict, last_good, releases_on
from roost.plan.steps import Json, Refusal
from roost.prefect.versions import parse_version

JOURNAL_KEY = "roost_restore"
FROM_POSTGRES = "postgres"
"""In the place of a snapshot's id: the data comes from the server's PostgreSQL (plan/volume_move.py)."""


@dataclass(frozen=True)
class Journal:
    """The journal of a restore, written with its first change.

    Args:
        snapshot: id of the snapshot that is restored, or FROM_POSTGRES.
        number: number of the release that the restore makes.
        at: when it began, as RFC 3339.
        safety: id of the snapshot of the data in use; empty until it is taken.
        before: ids of the volumes that existed before.
        why: why the restore failed and is being undone; empty if it is not.
    """

    snapshot: str
    number: int
    at: str
    safety: str = ""
    before: tuple[str, ...] = ()
    why: str = ""

    @property
    def is_move(self) -> bool:
        """Whether the data moves from PostgreSQL to a volume, instead of coming from a snapshot."""
        return self.snapshot == FROM_POSTGRES

    @property
    def what(self) -> str:
        """What it is the journal of, for a sentence."""
        if self.is_move:
            return "a move from PostgreSQL to a volume"
        return f"a restore of the snapshot {self.snapshot}"

    def again(self, environment: str) -> Command:
        """Return the command that does the same."""
        if self.is_move:
            return Command("migrate", environment, "--to", "sqlite")
        return Command("restore", environment, "--snapshot", self.snapshot)

    def entry(self) -> dict[str, str]:
        """Return the metadata entry with the journal."""
        return {JOURNAL_KEY: canonical({**vars(self), "before": list(self.before)})}


@dataclass(frozen=True)
class Restoring:
    """A restore that began and did not end: the old machine, and what was created so far."""

    old: Machine
    journal: Journal
    volume: Volume | None = None
    new: Machine | None = None
    releases: tuple[Release, ...] = field(default=(), repr=False)

    @property
    def proved(self) -> bool:
        """Whether the new machine passed its gate, so that the restore can only be finished."""
        verdicts = {release.number: release.verdict for release in self.releases}
        return self.new is not None and verdicts.get(self.journal.number) is Verdict.GOOD


def read_journal(machine: Machine) -> Journal | None:
    """Return the journal in a machine's metadata; None if there is none of the right form."""
    try:
        fields = json.loads(machine.metadata.get(JOURNAL_KEY, ""))
        journal = Journal(**{**fields, "before": tuple(map(str, fields["before"]))})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return journal if journal.snapshot and isinstance(journal.number, int) else None


def restoring(desired: Desired, live: Live) -> Restoring | None:
    """Find the restore that is under way or was interrupted."""
    ours = [machine for machine in live.machines if is_ours(machine, desired)]
    for old in ours:
        if journal := read_journal(old):
            volume = _made(journal, live, mount_name(old))
            new = next((m for m in ours if volume and m.mounted_volume == volume.id), None)
            return Restoring(old, journal, volume, new, releases_on([new] if new else []))
    return None


def _made(journal: Journal, live: Live, name: str) -> Volume | None:
    """Find the volume that a restore created: one that did not exist before, as names are equal."""
    found = (v for v in live.volumes if v.name == name and v.id not in journal.before)
    return next(iter(sorted(found, key=lambda v: v.id)), None)


def mount_name(machine: Machine) -> str:
    """Return the name of the volume that a machine mounts."""
    mount: Json = next(iter((machine.config or {}).get("mounts") or ()), {})
    return str(mount.get("name") or VOLUME_NAME)


def refusal(desired: Desired, state: Restoring) -> Refusal:
    """Return the refusal for a restore that was interrupted."""
    environment = desired.environment
    again = state.journal.again(environment)
    goes_on = again if state.journal.is_move else Command("restore", environment)
    return Refusal(
        f"machine/{slot_of(state.old)}",
        f"{state.journal.what} was interrupted",
        f"`{goes_on}` continues it; `{Command('apply', environment)}` finishes or undoes it.",
    )


def moved_config(state: Restoring, volume: str, release: Release) -> Json:
    """Return the new machine's config: the old machine's, or one of an older Prefect."""
    # Only a restore to an older Prefect changes more than the data (see `goes_back`).
    back = release.prefect != state.old.metadata.get(VERSION_KEY)
    changed = release.config if back else {"metadata": {}}
    config = {**(state.old.config or {}), **changed}
    metadata = {k: v for k, v in state.old.metadata.items() if k != JOURNAL_KEY}
    metadata |= changed["metadata"]
    metadata |= outdated(state.old.metadata)  # Prefect's objects are those of the snapshot now
    mount: Json = next(iter((state.old.config or {}).get("mounts") or ()), {})
    extends = {name: mount[name] for name in EXTENSION_FIELDS if name in mount}
    kept = retained_entry([*retained_volumes([state.old]), state.old.mounted_volume])
    return {
        **config,
        "mounts": [
            {"name": mount_name(state.old), "path": MOUNT_PATH, **extends, "volume": volume}
        ],
        "metadata": {**metadata, **kept, release.key: release.encoded()},
    }


def restore_release(base: Release, journal: Journal, git: str) -> Release:
    """Return the record of a restore: a copy of the live release, on other data."""
    return replace(
        base,
        number=journal.number,
        verdict=Verdict.PENDING,
        git=git,
        at=journal.at,
        snapshot=journal.safety,
        back_to=0,
        why=f"{RESTORE_OF}{journal.snapshot}",
    )


def goes_back(backup: Backup, old: Machine, desired: Desired) -> bool:
    """Return whether a restore also changes to the older Prefect that the file asks for.

    An apply refuses that, because the newer Prefect migrated the database. The older one can read data
    from before the migration.
    """
    had = parse_version(version_of(backup, releases_on([old])))
    runs = parse_version(old.metadata.get(VERSION_KEY, ""))
    wants = parse_version(desired.machines[0].config["metadata"][VERSION_KEY])
    return had is not None and wants is not None and runs is not None and had <= wants < runs


def check_version(backup: Backup, old: Machine, desired: Desired) -> str:
    """Return a sentence if the schema or the Prefect version changes; empty if not, or unknown.

    Raises:
        UnappliableError: the server's Prefect is too old for the snapshot's data.
    """
    had = version_of(backup, releases_on([old]))
    have, runs = parse_version(had), parse_version(old.metadata.get(VERSION_KEY, ""))
    if have is None or runs is None or have == runs:
        return ""
    if goes_back(backup, old, desired):
        wants = desired.machines[0].config["metadata"][VERSION_KEY]
        return f"the snapshot is of Prefect {have}: the server changes to {wants}, as the file asks"
    if have > runs:
        raise UnappliableError(
            f"The snapshot {backup.snapshot} is of Prefect {have}, and the server runs {runs}, "
            "which cannot read it.",
            where=desired.environment,
            advice=f"Set prefect.version to {have} and apply, then restore it.",
        )
    return f"the snapshot is of Prefect {have}: the server migrates it to {runs}"


def version_of(backup: Backup, releases: tuple[Release, ...]) -> str:
    """Return the Prefect version of a snapshot's data, from the release records; empty if unknown."""
    for later in releases:
        if later.snapshot == backup.snapshot:  # taken right before that release
            return good_version(r for r in releases if r.number < later.number)
    return version_at(backup.at, releases)


def version_at(moment: str, releases: Iterable[Release]) -> str:
    """Return the Prefect version that was live at a time, from the records; empty if unknown."""
    at = _time(moment)
    return good_version(r for r in releases if at and _is_before(r, at))


def good_version(releases: Iterable[Release]) -> str:
    """Return the Prefect version of the last good release; empty for none."""
    good = last_good(releases)
    return good.prefect if good else ""


def _is_before(release: Release, at: datetime) -> bool:
    began = _time(release.at)
    return began is not None and began <= at


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
