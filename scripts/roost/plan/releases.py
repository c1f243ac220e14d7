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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from roost.fly.models import Machine, SecretInfo
from roost.plan.desired import PROCESS_GROUP, SLOT_KEY, Desired, DesiredMachine
from roost.plan.document import canonical
from roost.plan.live import Live

Json = dict[str, Any]

KEPT = 8
"""So many records stay on a machine; the last good one always does."""
_KEY = re.compile(r"roost_release_([1-9]\d{0,8})", re.ASCII)
_DIGEST_DIGITS = 16
_LONGEST_WHY = 400
_LARGEST_CONFIG = 2**20  # bytes of a config unpacked; a record that claims more is none


class Verdict(Enum):
    """What is known of a release."""

    PENDING = "pending"
    GOOD = "good"
    FAILED = "failed"
    CLEARED = "cleared"
    """Failed, and allowed to be tried again."""


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

    @property
    def key(self) -> str:
        """The metadata key that holds it."""
        return f"roost_release_{self.number}"

    @property
    def identity(self) -> str:
        """What two releases share that would fare alike: all of them but metadata and mounts.

        Mounts name a volume only once it is there, and metadata is not seen by the server.
        """
        judged = {k: v for k, v in self.config.items() if k not in {"metadata", "mounts"}}
        return _digest({"config": judged, "secrets": self.secrets})

    @property
    def image(self) -> str:
        """The image it runs."""
        return str(self.config.get("image", ""))

    def judged(self, verdict: Verdict, why: str = "") -> Release:
        """Give it with a verdict."""
        return replace(self, verdict=verdict, why=why[:_LONGEST_WHY])

    def with_secrets(self, secrets: Iterable[SecretInfo]) -> Release:
        """Give it for these secrets."""
        return replace(self, secrets=secrets_digest(secrets))

    def encoded(self) -> str:
        """Give it as the text that metadata holds."""
        packed = zlib.compress(canonical(self.config).encode(), 9)
        fields = {**vars(self), "verdict": self.verdict.value}
        return canonical({**fields, "config": base64.b64encode(packed).decode()})


def decode(text: str) -> Release | None:
    """Read a record; None for what is none, whoever wrote it."""
    try:
        fields = json.loads(text)
        unpack = zlib.decompressobj()
        config = unpack.decompress(base64.b64decode(fields.pop("config")), _LARGEST_CONFIG)
        verdict = Verdict(fields.pop("verdict"))
        return Release(**fields, config=json.loads(config), verdict=verdict)
    except (ValueError, TypeError, LookupError, AttributeError, zlib.error):
        return None


def draft(desired: Desired, live: Live, known: tuple[Release, ...]) -> Release | None:
    """Give the release that an apply would make; None where there are to be no machines."""
    if not desired.machines:
        return None
    return Release(
        number=known[-1].number + 1 if known else 1,
        region=desired.machines[0].region,
        config=_bare_config(desired.machines[0]),
        machines=len(desired.machines),
        secrets=secrets_digest(live.secrets),
    )


def secrets_digest(secrets: Iterable[SecretInfo]) -> str:
    """Give one digest of all that Fly tells of an app's secrets."""
    return _digest(sorted([secret.name, secret.digest] for secret in secrets))


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:_DIGEST_DIGITS]


def releases_on(machines: Iterable[Machine]) -> tuple[Release, ...]:
    """Give every release that the machines of one environment remember, the oldest first."""
    found: dict[int, Release] = {}
    for machine in machines:
        for key, text in machine.metadata.items():
            match = _KEY.fullmatch(key)
            release = decode(text) if match else None
            if match and release and release.number == int(match[1]):
                # Of a record that was being judged when somebody died, the judged one counts.
                known = found.get(release.number)
                if known is None or known.verdict is Verdict.PENDING:
                    found[release.number] = release
    return tuple(found[number] for number in sorted(found))


def current(releases: tuple[Release, ...]) -> Release | None:
    """Give the release that is live."""
    return releases[-1] if releases else None


def last_good(releases: Iterable[Release]) -> Release | None:
    """Give the newest release that was proved good."""
    return next((r for r in reversed(tuple(releases)) if r.verdict is Verdict.GOOD), None)


def failed_like(releases: Iterable[Release], wanted: str) -> Release | None:
    """Give the release of that identity that failed and was not cleared since."""
    same = [release for release in releases if release.identity == wanted]
    return same[-1] if same and same[-1].verdict is Verdict.FAILED else None


def with_release(config: Json, release: Release) -> Json:
    """Give a machine's config with a record added, and with the oldest ones left out."""
    metadata = dict(config.get("metadata") or {})
    metadata[release.key] = release.encoded()
    for key in _surplus(metadata):
        del metadata[key]
    return {**config, "metadata": metadata}


def _surplus(metadata: Mapping[str, str]) -> list[str]:
    """Name what is beyond the records to keep; the last good one is how one gets back."""
    records = {key: decode(text) for key, text in metadata.items() if _KEY.fullmatch(key)}
    known = sorted((r for r in records.values() if r), key=lambda r: r.number)
    good = last_good(known)
    kept = {r.key for r in known[-KEPT:]} | ({good.key} if good else set())
    return [key for key in records if key not in kept]


def _bare_config(machine: DesiredMachine) -> Json:
    """Give what a record keeps of a machine's config: all but what is the slot's own."""
    metadata = machine.config["metadata"]
    kept = {key: value for key, value in metadata.items() if key != SLOT_KEY}
    return {**machine.config, "metadata": kept}


def desired_of(release: Release, desired: Desired) -> Desired:
    """Give what it takes to put a release back: its machines, on what the environment has now."""
    slots = (f"{PROCESS_GROUP}-{slot}" for slot in range(1, release.machines + 1))
    return replace(
        desired,
        machines=tuple(_machine(release, slot) for slot in slots),
        back=desired.volume is not None,  # only there the database of before was kept
    )


def _machine(release: Release, slot: str) -> DesiredMachine:
    metadata = {**release.config.get("metadata", {}), SLOT_KEY: slot}
    return DesiredMachine(slot, release.region, {**release.config, "metadata": metadata})
