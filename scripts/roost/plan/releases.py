"""Release records: what each apply stores on the machines, enough to compare and restore it.

A record is one entry of a machine's metadata, `roost_release_N`, sent together with the change it
describes, so no change is without a record. The gate's verdict is written into it afterwards. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pydantic import TypeAdapter

from roost.errors.command import bare
from roost.fly.models import Machine, SecretInfo
from roost.plan.compare import Json, differences, without_fields
from roost.plan.desired import (
    OVERRIDE_KEY,
    SLOT_KEY,
    VERSION_KEY,
    Desired,
    DesiredMachine,
    named_database,
    service_of,
)
from roost.plan.document import canonical
from roost.plan.ignored import ignored_fields
from roost.plan.live import Live
from roost.plan.replicas import config_for, is_replicated, region_of, slots_of
from roost.prefect.versions import Version, parse_version

KEPT = 8
"""The number of records that a machine keeps; the last good one is always kept as well."""
_KEY = re.compile(r"roost_release_([1-9]\d{0,8})", re.ASCII)
_DIGEST_DIGITS = 16
_LONGEST_WHY = 400
_LARGEST_CONFIG = 2**20  # bytes of an unpacked config; a record with more is not ours
_UNSEEN = frozenset({"metadata", "mounts"})
"""Parts of a config that make no difference to the server: metadata is Roost's, and a mount names its
volume only after the volume was created."""


class Verdict(Enum):
    """The verdict on a release."""

    PENDING = "pending"
    GOOD = "good"
    UNPROVED = "unproved"
    """It passed its gate, and got other secrets since while it slept: no gate has seen those."""
    FAILED = "failed"
    CLEARED = "cleared"
    """It failed, and a person allowed it to be tried again."""


_LIFE = (
    Verdict.PENDING,
    Verdict.GOOD,
    Verdict.UNPROVED,
    Verdict.FAILED,
    Verdict.CLEARED,
)
"""The order in which a release can get its verdicts."""


@dataclass(frozen=True)
class Release:
    """One apply that changed what runs.

    Args:
        number: counts up; the highest is the live one.
        region: region of its machines; of a replicated server, that of the services' machine.
        config: the machine's config as sent, without what differs from slot to slot.
        machines: the number of machines.
        secrets: a hash of the secrets' digests, so that another value is another release.
        git: the commit it came from; empty if unknown.
        at: when it began, as RFC 3339 in UTC.
        snapshot: id of the volume's snapshot from before the change; empty if none was needed.
        back_to: number of the release that this one restores; 0 for none.
        why: why it failed.
        ignored: names of config fields that somebody else sets.
        prune: whether secrets that the file does not list were removed.
        regions: regions in which the machines for the API take turns; empty where all are in one.
    """

    number: int
    region: str
    config: Json
    machines: int
    secrets: str = ""
    verdict: Verdict = Verdict.PENDING
    git: str = ""
    at: str = ""
    snapshot: str = ""
    back_to: int = 0
    why: str = ""
    ignored: tuple[str, ...] = ()
    prune: bool = False
    regions: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The metadata key that holds it."""
        return f"roost_release_{self.number}"

    @property
    def identity(self) -> str:
        """Equal for releases that would behave alike: the same setup for the server, secrets included."""
        return _digest({"config": self._seen, "secrets": self.secrets})

    @property
    def setup(self) -> str:
        """Equal for releases between which a rollback changes nothing; it restores no secrets."""
        where = {"region": self.region, **({"regions": self.regions} if self.regions else {})}
        return _digest({"config": self._seen, **where, "machines": self.machines})

    def region_of(self, slot: str) -> str:
        """Return the region of one of its machines."""
        return region_of(slot, self.region, self.regions)

    @property
    def _seen(self) -> Json:
        seen = {key: value for key, value in self.config.items() if key not in _UNSEEN}
        return without_fields(seen, self.ignored)

    @property
    def was_proved(self) -> bool:
        """Whether it passed a gate, apart from secrets that were set while it slept."""
        return self.verdict in {Verdict.GOOD, Verdict.UNPROVED}

    @property
    def origin(self) -> int:
        """The number of the release that introduced this setup: its own, or the restored one's."""
        return self.back_to or self.number

    @property
    def image(self) -> str:
        """The image it runs."""
        return str(self.config.get("image", ""))

    @property
    def prefect(self) -> str:
        """The Prefect version it runs."""
        return str(self.config["metadata"][VERSION_KEY])

    @property
    def override(self) -> str:
        """The override in its metadata, as text; empty for none."""
        return str(self.config["metadata"].get(OVERRIDE_KEY, ""))

    def with_verdict(self, verdict: Verdict, why: str = "") -> Release:
        """Return the release with a verdict."""
        return replace(self, verdict=verdict, why=bare(why)[:_LONGEST_WHY])

    def with_secrets(self, secrets: Iterable[SecretInfo]) -> Release:
        """Return the release with these secrets."""
        return replace(self, secrets=secrets_digest(secrets))

    def encoded(self) -> str:
        """Return it as the text that metadata holds."""
        packed = zlib.compress(canonical(self.config).encode(), 9)
        fields = {**vars(self), "verdict": self.verdict.value}
        if not self.regions:  # records of one region are as they always were
            del fields["regions"]
        return canonical({**fields, "config": base64.b64encode(packed).decode()})


_RELEASE = TypeAdapter(Release)


def decode(text: str) -> Release | None:
    """Return the release in a record; None if the text has another form."""
    try:
        fields = json.loads(text)
        unpack = zlib.decompressobj()
        config = unpack.decompress(base64.b64decode(fields["config"]), _LARGEST_CONFIG)
        parsed = {"config": json.loads(config), "verdict": Verdict(fields["verdict"])}
        release: Release = _RELEASE.validate_python({**fields, **parsed})
        release.config["metadata"][VERSION_KEY]  # a rollback needs it
    except (ValueError, TypeError, LookupError, RecursionError, zlib.error):
        return None
    return release


def draft(desired: Desired, live: Live, known: tuple[Release, ...]) -> Release | None:
    """Return the release that an apply would make; None if no machines are desired."""
    if not desired.machines:
        return None
    return Release(
        number=known[-1].number + 1 if known else 1,
        region=desired.machines[-1].region,  # the services' machine is the last
        regions=desired.regions,
        config=_bare_config(desired.machines[0]),
        machines=len(desired.machines),
        secrets=secrets_digest(live.secrets),
        ignored=ignored_fields(desired),
        prune=desired.prune,
    )


def secrets_digest(secrets: Iterable[SecretInfo]) -> str:
    """Return a hash of the names and digests of an app's secrets."""
    return _digest(sorted([secret.name, secret.digest] for secret in secrets))


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:_DIGEST_DIGITS]


def releases_on(machines: Iterable[Machine]) -> tuple[Release, ...]:
    """Return every release that the machines of an environment have a record of, the oldest first.

    An apply that was killed while it wrote a verdict leaves records that differ from machine to
    machine. Then the verdict that comes last in a release's life counts.
    """
    found = [release for machine in machines for release in records_in(machine.metadata)]
    return by_number(sorted(found, key=lambda release: _LIFE.index(release.verdict)))


def records_in(metadata: Mapping[str, str]) -> Iterator[Release]:
    """Yield the records in a machine's metadata; one under the key of another release is skipped."""
    for key, text in metadata.items():
        match = _KEY.fullmatch(key)
        release = decode(text) if match else None
        if match and release and release.number == int(match[1]):
            yield release


def by_number(releases: Iterable[Release]) -> tuple[Release, ...]:
    """Return each release once, the oldest first; of several records of one, the last."""
    found = {release.number: release for release in releases}
    return tuple(found[number] for number in sorted(found))


def current(releases: tuple[Release, ...]) -> Release | None:
    """Return the release that is live."""
    return releases[-1] if releases else None


def last_good(releases: Iterable[Release]) -> Release | None:
    """Return the newest release whose setup passed a gate.

    Its secrets may be unproved: a rollback does not restore secrets, and runs the gate again.
    """
    return next((r for r in reversed(tuple(releases)) if r.was_proved), None)


def last_proved(releases: Iterable[Release]) -> Release | None:
    """Return the newest release that was proved with its latest secrets."""
    return next((r for r in reversed(tuple(releases)) if r.verdict is Verdict.GOOD), None)


def rollback_target(releases: tuple[Release, ...]) -> Release | None:
    """Return the release to roll back to after the newest one failed.

    That is the last good one. A release under an override is skipped if the override had ended before
    the newest release, unless all others run an older Prefect.
    """
    last = last_good(releases)
    if last is None:
        return None
    lasting = (
        r
        for r in releases
        if not (_has_ended(r, releases) or is_older(r, last) or on_left_database(r, last))
    )
    return last_good(lasting) or last


def _has_ended(release: Release, releases: tuple[Release, ...]) -> bool:
    """Return whether the override of a release ended with a later one that is not the newest."""
    mark = release.override
    later = (r for r in releases[:-1] if r.number > release.number)
    return bool(mark) and any(r.override != mark for r in later)


def beyond(releases: tuple[Release, ...], version: Version) -> tuple[Release, ...]:
    """Return the releases of a Prefect newer than a version, since that version last read the data."""
    reads = [r for r in releases if r.was_proved and _runs(r) <= version]
    since = reads[-1].number if reads else 0
    return tuple(r for r in releases if r.number > since and _runs(r) > version)


def snapshot_before(releases: tuple[Release, ...], version: Version) -> str:
    """Return the snapshot from before the data was migrated beyond a version; empty if unknown."""
    return next((r.snapshot for r in beyond(releases, version) if r.snapshot), "")


def _runs(release: Release) -> Version:
    """Return the Prefect version of a release; one that cannot be read counts as the oldest."""
    return parse_version(release.prefect) or Version(0, 0, 0)


def is_older(release: Release, later: Release) -> bool:
    """Return whether a release runs an older Prefect than another one."""
    have, than = parse_version(release.prefect), parse_version(later.prefect)
    return have is not None and than is not None and have < than


def on_left_database(release: Release, later: Release) -> bool:
    """Return whether a release serves another database than a later one, to which the data moved."""
    have, then = named_database(release.config), named_database(later.config)
    return (have == "postgres") != (then == "postgres")


def failed_like(releases: Iterable[Release], wanted: str) -> Release | None:
    """Return the newest release of an identity, if it failed and was not cleared."""
    same = [release for release in releases if release.identity == wanted]
    return same[-1] if same and same[-1].verdict is Verdict.FAILED else None


def with_records(config: Json, releases: Iterable[Release]) -> Json:
    """Return a machine's config with the records to keep, and no others."""
    records = {release.key: release.encoded() for release in kept(by_number(releases))}
    return {**config, "metadata": {**without_records(config["metadata"]), **records}}


def record_patch(metadata: Mapping[str, str], release: Release) -> dict[str, str]:
    """Return the metadata patch that writes a record and removes those beyond `KEPT`."""
    stay = {known.key for known in kept(by_number([*records_in(metadata), release]))}
    gone = [key for key in metadata if _KEY.fullmatch(key) and key not in stay]
    return {release.key: release.encoded(), **dict.fromkeys(gone, "")}


def without_records(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a machine's metadata without release records."""
    return {key: value for key, value in metadata.items() if not _KEY.fullmatch(key)}


def kept(releases: tuple[Release, ...]) -> tuple[Release, ...]:
    """Return the releases to keep: the newest, and the last good one for a rollback."""
    newest = releases[-KEPT:]
    good = last_good(releases)
    return newest if good is None or good in newest else (good, *newest)


def _bare_config(machine: DesiredMachine) -> Json:
    """Return a machine's config without its slot, as a record stores it."""
    metadata = machine.config["metadata"]
    kept = {key: value for key, value in metadata.items() if key != SLOT_KEY}
    return {**machine.config, "metadata": kept}


def desired_of(release: Release, desired: Desired, *, back: bool = True) -> Desired:
    """Return the desired state for a rollback: the release's machines, the rest as the file says.

    Args:
        release: the release to restore.
        desired: what the file asks for. Addresses, ports, volume and secrets stay as it says, so a
            rollback never opens the server to the internet.
        back: whether the server still has the database from before an upgrade that was never
            proved; only with a volume.
    """
    replicated = is_replicated(release.config)
    slots = slots_of(release.machines - replicated, replicated=replicated)
    ports = service_of(desired.machines[0].config).get("ports") if desired.machines else None
    return replace(
        desired,
        regions=release.regions,
        machines=tuple(_machine(release, slot, ports) for slot in slots),
        back=back and desired.volume is not None,
    )


def _machine(release: Release, slot: str, ports: list[Json] | None) -> DesiredMachine:
    config = {**release.config, "metadata": {**release.config["metadata"], SLOT_KEY: slot}}
    if ports and service_of(config):
        first, *others = config["services"]
        config["services"] = [{**first, "ports": ports}, *others]
    return DesiredMachine(slot, release.region_of(slot), config_for(slot, config, _check(config)))


def _check(config: Json) -> Json:
    """Return Fly's check of a machine for the API."""
    checks: list[Json] = service_of(config).get("checks") or [{}]
    return checks[0]


def changed_fields(before: Release, after: Release) -> tuple[str, ...]:
    """Return the names of the fields that differ between two releases; values are left out."""
    old, new = _seen(before, after), _seen(after, before)
    fields = [*differences(new, old), *differences(old, new)]
    names = [change.field for change in fields]
    names += ["region"] if before.region != after.region else []
    names += ["regions"] if before.regions != after.regions else []
    names += ["machines"] if before.machines != after.machines else []
    names += ["secrets"] if before.secrets != after.secrets else []
    return tuple(dict.fromkeys(names))


def _seen(release: Release, other: Release) -> Json:
    """Return the server's part of a release's config, without fields that either one ignores."""
    seen = {key: value for key, value in release.config.items() if key not in _UNSEEN}
    return without_fields(seen, (*release.ignored, *other.ignored))
