"""Where a restore stands: what it remembers on the machines, and what the live state says of it. Pure.

A machine keeps its mount for life, so a restore moves the server to a new machine on a new volume.
While it is under way the old machine carries a journal; the journal goes with that machine, or is
removed when the machine is put back. Whoever finds it knows how far the restore came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from roost.errors import UnappliableError
from roost.fly.models import Machine, Volume
from roost.plan.backups import RESTORE_OF, Backup, retained_entry, retained_volumes
from roost.plan.desired import EXTENSION_FIELDS, MOUNT_PATH, VERSION_KEY, VOLUME_NAME, Desired
from roost.plan.document import canonical
from roost.plan.live import Live
from roost.plan.ownership import is_ours, slot_of
from roost.plan.releases import Release, Verdict, last_good, releases_on
from roost.plan.steps import Json, Refusal
from roost.prefect.versions import parse_version

JOURNAL_KEY = "roost_restore"


@dataclass(frozen=True)
class Journal:
    """What a restore remembers from its first change on.

    Args:
        snapshot: what is restored.
        number: of the release that it makes.
        at: when it began, as RFC 3339 writes it.
        safety: the snapshot of the volume in use, made before anything else; empty until it is.
        before: the volumes that were there.
        why: what it failed of; it is being undone.
    """

    snapshot: str
    number: int
    at: str
    safety: str = ""
    before: tuple[str, ...] = ()
    why: str = ""

    def entry(self) -> dict[str, str]:
        """Return the metadata that holds it."""
        return {JOURNAL_KEY: canonical({**vars(self), "before": list(self.before)})}


@dataclass(frozen=True)
class Restoring:
    """A restore that began and did not end."""

    old: Machine
    journal: Journal
    volume: Volume | None = None
    new: Machine | None = None
    releases: tuple[Release, ...] = field(default=(), repr=False)

    @property
    def proved(self) -> bool:
        """Whether the new machine passed the gate: from then on there is no way but forward."""
        verdicts = {release.number: release.verdict for release in self.releases}
        return self.new is not None and verdicts.get(self.journal.number) is Verdict.GOOD


def read_journal(machine: Machine) -> Journal | None:
    """Return the journal that a machine carries; None for what is none, whoever wrote it."""
    try:
        fields = json.loads(machine.metadata.get(JOURNAL_KEY, ""))
        journal = Journal(**{**fields, "before": tuple(map(str, fields["before"]))})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return journal if journal.snapshot and isinstance(journal.number, int) else None


def restoring(desired: Desired, live: Live) -> Restoring | None:
    """Find the restore that is under way, or was cut short."""
    ours = [machine for machine in live.machines if is_ours(machine, desired)]
    for old in ours:
        if journal := read_journal(old):
            volume = _made(journal, live)
            new = next((m for m in ours if volume and m.mounted_volume == volume.id), None)
            return Restoring(old, journal, volume, new, releases_on([new] if new else []))
    return None


def _made(journal: Journal, live: Live) -> Volume | None:
    """Find the volume that the restore made; names do not tell, so it is one that was not there."""
    found = (v for v in live.volumes if v.name == VOLUME_NAME and v.id not in journal.before)
    return next(iter(sorted(found, key=lambda v: v.id)), None)


def refusal(desired: Desired, state: Restoring) -> Refusal:
    """Report that a restore was cut short, and the way out."""
    return Refusal(
        f"machine/{slot_of(state.old)}",
        f"a restore of the snapshot {state.journal.snapshot} was cut short",
        f"`roost restore {desired.environment}` goes on with it; `roost apply` ends it, one way or the other.",
    )


def moved_config(state: Restoring, volume: str, release: Release) -> Json:
    """Return the new machine's config: the old one's, or an older Prefect's, on the new volume."""
    # Only what goes back to an older Prefect brings more than data (see `goes_back`).
    back = release.prefect != state.old.metadata.get(VERSION_KEY)
    asked = release.config if back else {"metadata": {}}
    config = {**(state.old.config or {}), **asked}
    metadata = {k: v for k, v in state.old.metadata.items() if k != JOURNAL_KEY}
    metadata |= asked["metadata"]
    mount: Json = next(iter((state.old.config or {}).get("mounts") or ()), {})
    extends = {name: mount[name] for name in EXTENSION_FIELDS if name in mount}
    kept = retained_entry([*retained_volumes([state.old]), state.old.mounted_volume])
    return {
        **config,
        "mounts": [{"name": VOLUME_NAME, "path": MOUNT_PATH, **extends, "volume": volume}],
        "metadata": {**metadata, **kept, release.key: release.encoded()},
    }


def restore_release(base: Release, journal: Journal, git: str) -> Release:
    """Return the record of a restore: the release that was live, once more, on other data."""
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
    """Return whether a restore also goes back to the older Prefect that the file asks for.

    In place that is refused, because the newer one has migrated the database. Data from before the
    migration is what the older one can read.
    """
    had = parse_version(version_of(backup, releases_on([old])))
    runs = parse_version(old.metadata.get(VERSION_KEY, ""))
    wants = parse_version(desired.machines[0].config["metadata"][VERSION_KEY])
    return had is not None and wants is not None and runs is not None and had <= wants < runs


def check_version(backup: Backup, old: Machine, desired: Desired) -> str:
    """Return what becomes of the schema; empty where nothing does, or nothing is known.

    Raises:
        UnappliableError: the server's Prefect is too old to read it; says the way out.
    """
    had = version_of(backup, releases_on([old]))
    have, runs = parse_version(had), parse_version(old.metadata.get(VERSION_KEY, ""))
    if have is None or runs is None or have == runs:
        return ""
    if goes_back(backup, old, desired):
        wants = desired.machines[0].config["metadata"][VERSION_KEY]
        return (
            f"the snapshot is of Prefect {have}: the server goes back to {wants}, as the file asks"
        )
    if have > runs:
        raise UnappliableError(
            f"The snapshot {backup.snapshot} is of Prefect {have}, and the server runs {runs}, "
            "which cannot read it.",
            where=desired.environment,
            advice=f"Set prefect.version to {have} and apply, then restore it.",
        )
    return f"the snapshot is of Prefect {have}: the server migrates it to {runs}"


def version_of(backup: Backup, releases: tuple[Release, ...]) -> str:
    """Return the Prefect version whose data a snapshot has, as far as records tell."""
    for later in releases:
        if later.snapshot == backup.snapshot:  # made for it, right before it
            return good_version(r for r in releases if r.number < later.number)
    return version_at(backup.at, releases)


def version_at(moment: str, releases: Iterable[Release]) -> str:
    """Return the Prefect version that was live at a moment, as far as records tell."""
    at = _time(moment)
    return good_version(r for r in releases if at and _is_before(r, at))


def good_version(releases: Iterable[Release]) -> str:
    """Return the version of the last of them that was proved good."""
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
