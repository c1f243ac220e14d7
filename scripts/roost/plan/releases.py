"""What each apply leaves on the machine: enough to know it, to judge it, and to put it back.

A record is one entry of the machine's metadata, `roost_release_N`, sent together with the change
it is about. So there is never a change without its record; whether it was proved good is written
into it afterwards. Pure.
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

from roost.fly.models import Machine, SecretInfo
from roost.plan.compare import Json, differences, without_fields
from roost.plan.desired import (
    OVERRIDE_KEY,
    PROCESS_GROUP,
    SLOT_KEY,
    VERSION_KEY,
    Desired,
    DesiredMachine,
    service_of,
)
from roost.plan.document import canonical
from roost.plan.ignored import ignored_fields
from roost.plan.live import Live
from roost.prefect.versions import Version, parse_version

KEPT = 8
"""So many records stay on a machine, and the last good one always does."""
_KEY = re.compile(r"roost_release_([1-9]\d{0,8})", re.ASCII)
_DIGEST_DIGITS = 16
_LONGEST_WHY = 400
_LARGEST_CONFIG = 2**20  # bytes of a config unpacked; a record that claims more is none
_UNSEEN = frozenset({"metadata", "mounts"})
"""What of a config the server does not see: metadata is ours, and a mount's volume has its name
only once it is there."""


class Verdict(Enum):
    """What is known of a release."""

    PENDING = "pending"
    GOOD = "good"
    UNPROVED = "unproved"
    """Proved good once, and given other secrets since while it slept: no gate has seen those."""
    FAILED = "failed"
    CLEARED = "cleared"
    """Failed, and allowed to be tried again."""


_LIFE = (
    Verdict.PENDING,
    Verdict.GOOD,
    Verdict.UNPROVED,
    Verdict.FAILED,
    Verdict.CLEARED,
)
"""The order in which a release comes by its verdicts."""


@dataclass(frozen=True)
class Release:
    """One apply that changed what runs.

    Args:
        number: counts up; the highest is the one that is live.
        region: where its machines are.
        config: the machine's config as sent, without what differs from slot to slot.
        machines: how many of them.
        secrets: a digest of the secrets' own, so that another value is another release.
        git: the commit it came from, empty when unknown.
        at: when it began, in UTC as RFC 3339 writes it.
        snapshot: of the volume, made before the change; empty where none was needed.
        back_to: the number of the release that this one puts back, 0 for none.
        why: what a failed one failed of.
        ignored: fields of the config that somebody else sets, as plans write them.
        prune: whether secrets that the file does not name were removed.
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

    @property
    def key(self) -> str:
        """The metadata key that holds it."""
        return f"roost_release_{self.number}"

    @property
    def identity(self) -> str:
        """What two releases share that would fare alike: what the server sees, its secrets too."""
        return _digest({"config": self._seen, "secrets": self.secrets})

    @property
    def setup(self) -> str:
        """What two releases share between which going back changes nothing: no secret goes back."""
        return _digest({"config": self._seen, "region": self.region, "machines": self.machines})

    @property
    def _seen(self) -> Json:
        seen = {key: value for key, value in self.config.items() if key not in _UNSEEN}
        return without_fields(seen, self.ignored)

    @property
    def was_proved(self) -> bool:
        """Whether a gate passed all of it but, perhaps, its secrets."""
        return self.verdict in {Verdict.GOOD, Verdict.UNPROVED}

    @property
    def origin(self) -> int:
        """The number of the release that brought this setup: its own, or that of the one put back."""
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
        """The override it ran under, as metadata holds it; empty for none."""
        return str(self.config["metadata"].get(OVERRIDE_KEY, ""))

    def with_verdict(self, verdict: Verdict, why: str = "") -> Release:
        """Return the release with a verdict."""
        return replace(self, verdict=verdict, why=why[:_LONGEST_WHY])

    def with_secrets(self, secrets: Iterable[SecretInfo]) -> Release:
        """Return it for these secrets."""
        return replace(self, secrets=secrets_digest(secrets))

    def encoded(self) -> str:
        """Return it as the text that metadata holds."""
        packed = zlib.compress(canonical(self.config).encode(), 9)
        fields = {**vars(self), "verdict": self.verdict.value}
        return canonical({**fields, "config": base64.b64encode(packed).decode()})


_RELEASE = TypeAdapter(Release)


def decode(text: str) -> Release | None:
    """Read a record; None for what is none, whoever wrote it."""
    try:
        fields = json.loads(text)
        unpack = zlib.decompressobj()
        config = unpack.decompress(base64.b64decode(fields["config"]), _LARGEST_CONFIG)
        told = {"config": json.loads(config), "verdict": Verdict(fields["verdict"])}
        release: Release = _RELEASE.validate_python({**fields, **told})
        release.config["metadata"][VERSION_KEY]  # without it nobody could put it back
    except (ValueError, TypeError, LookupError, RecursionError, zlib.error):
        return None
    return release


def draft(desired: Desired, live: Live, known: tuple[Release, ...]) -> Release | None:
    """Return the release that an apply would make; None where there are to be no machines."""
    if not desired.machines:
        return None
    return Release(
        number=known[-1].number + 1 if known else 1,
        region=desired.machines[0].region,
        config=_bare_config(desired.machines[0]),
        machines=len(desired.machines),
        secrets=secrets_digest(live.secrets),
        ignored=ignored_fields(desired),
        prune=desired.prune,
    )


def secrets_digest(secrets: Iterable[SecretInfo]) -> str:
    """Return one digest of all that Fly tells of an app's secrets."""
    return _digest(sorted([secret.name, secret.digest] for secret in secrets))


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:_DIGEST_DIGITS]


def releases_on(machines: Iterable[Machine]) -> tuple[Release, ...]:
    """Return every release that the machines of one environment remember, the oldest first.

    Somebody who died while he wrote a verdict leaves records that differ from machine to machine;
    the verdict that comes last in a release's life counts.
    """
    found = [release for machine in machines for release in records_in(machine.metadata)]
    return by_number(sorted(found, key=lambda release: _LIFE.index(release.verdict)))


def records_in(metadata: Mapping[str, str]) -> Iterator[Release]:
    """Return the records among a machine's metadata; what stands under another's key is none."""
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
    """Return the newest release whose setup was proved good, which is where a failed apply goes back to.

    Its secrets may be unproved: they never go back with a release, and the gate decides again.
    """
    return next((r for r in reversed(tuple(releases)) if r.was_proved), None)


def last_proved(releases: Iterable[Release]) -> Release | None:
    """Return the newest release that was proved with the secrets it had last."""
    return next((r for r in reversed(tuple(releases)) if r.verdict is Verdict.GOOD), None)


def rollback_target(releases: tuple[Release, ...]) -> Release | None:
    """Return the good release that takes the place of the newest one, which failed.

    That is the last good one. One that ran under an override is passed over where the override had
    ended before the newest release, unless what is left runs an older Prefect.
    """
    last = last_good(releases)
    if last is None:
        return None
    lasting = (r for r in releases if not _has_ended(r, releases) and not is_older(r, last))
    return last_good(lasting) or last


def _has_ended(release: Release, releases: tuple[Release, ...]) -> bool:
    """Return whether the override of a release ended with a later one that is not the newest."""
    mark = release.override
    later = (r for r in releases[:-1] if r.number > release.number)
    return bool(mark) and any(r.override != mark for r in later)


def beyond(releases: tuple[Release, ...], version: Version) -> tuple[Release, ...]:
    """Return the releases of a newer Prefect than a version, since that could read the data last."""
    reads = [r for r in releases if r.was_proved and _runs(r) <= version]
    since = reads[-1].number if reads else 0
    return tuple(r for r in releases if r.number > since and _runs(r) > version)


def snapshot_before(releases: tuple[Release, ...], version: Version) -> str:
    """Return the snapshot made before the data was migrated beyond a version; else nothing."""
    return next((r.snapshot for r in beyond(releases, version) if r.snapshot), "")


def _runs(release: Release) -> Version:
    """Return the version a release runs; one that is none counts as the oldest."""
    return parse_version(release.prefect) or Version(0, 0, 0)


def is_older(release: Release, later: Release) -> bool:
    """Return whether a release runs an older Prefect than another one."""
    have, than = parse_version(release.prefect), parse_version(later.prefect)
    return have is not None and than is not None and have < than


def failed_like(releases: Iterable[Release], wanted: str) -> Release | None:
    """Return the release of that identity that failed and was not cleared since."""
    same = [release for release in releases if release.identity == wanted]
    return same[-1] if same and same[-1].verdict is Verdict.FAILED else None


def with_records(config: Json, releases: Iterable[Release]) -> Json:
    """Return a machine's config with those of these records that are kept, and no others."""
    records = {release.key: release.encoded() for release in kept(by_number(releases))}
    return {**config, "metadata": {**without_records(config["metadata"]), **records}}


def record_patch(metadata: Mapping[str, str], release: Release) -> dict[str, str]:
    """Return what to change of a machine's metadata for a record; what is beyond those kept goes."""
    stay = {known.key for known in kept(by_number([*records_in(metadata), release]))}
    gone = [key for key in metadata if _KEY.fullmatch(key) and key not in stay]
    return {release.key: release.encoded(), **dict.fromkeys(gone, "")}


def without_records(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a machine's metadata without what releases left there."""
    return {key: value for key, value in metadata.items() if not _KEY.fullmatch(key)}


def kept(releases: tuple[Release, ...]) -> tuple[Release, ...]:
    """Return those to keep: the newest, and the last good one, which is how one gets back."""
    newest = releases[-KEPT:]
    good = last_good(releases)
    return newest if good is None or good in newest else (good, *newest)


def _bare_config(machine: DesiredMachine) -> Json:
    """Return what a record keeps of a machine's config: all but what is the slot's own."""
    metadata = machine.config["metadata"]
    kept = {key: value for key, value in metadata.items() if key != SLOT_KEY}
    return {**machine.config, "metadata": kept}


def desired_of(release: Release, desired: Desired, *, back: bool = True) -> Desired:
    """Return what it takes to put a release back: its machines, on what the environment has now.

    Args:
        release: what to put back.
        desired: what the file asks for; addresses, volume and secrets stay as it says, and so does
            who reaches the server: going back opens nothing to the internet.
        back: whether the server still has the database of before, if it has a volume to keep it
            on: an upgrade that was never proved is gone back from.
    """
    slots = (f"{PROCESS_GROUP}-{slot}" for slot in range(1, release.machines + 1))
    ports = service_of(desired.machines[0].config).get("ports") if desired.machines else None
    return replace(
        desired,
        machines=tuple(_machine(release, slot, ports) for slot in slots),
        back=back and desired.volume is not None,
    )


def _machine(release: Release, slot: str, ports: list[Json] | None) -> DesiredMachine:
    config = {**release.config, "metadata": {**release.config["metadata"], SLOT_KEY: slot}}
    if ports and service_of(config):
        first, *others = config["services"]
        config["services"] = [{**first, "ports": ports}, *others]
    return DesiredMachine(slot, release.region, config)


def changed_fields(before: Release, after: Release) -> tuple[str, ...]:
    """Return the names of what differs from one release to another."""
    old, new = _seen(before, after), _seen(after, before)
    fields = [*differences(new, old), *differences(old, new)]
    names = [change.field for change in fields]
    names += ["region"] if before.region != after.region else []
    names += ["machines"] if before.machines != after.machines else []
    names += ["secrets"] if before.secrets != after.secrets else []
    return tuple(dict.fromkeys(names))


def _seen(release: Release, other: Release) -> Json:
    """Return what the server sees of a release, without what somebody else sets in either."""
    seen = {key: value for key, value in release.config.items() if key not in _UNSEEN}
    return without_fields(seen, (*release.ignored, *other.ignored))
