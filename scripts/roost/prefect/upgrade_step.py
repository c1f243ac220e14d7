"""Which release of Prefect a server goes to next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from roost.prefect.versions import Version


@dataclass(frozen=True)
class Release:
    """A release as the package index lists it.

    Args:
        version: its number; previews are none.
        at: when it was published; None where the index does not say.
        yanked: whether it was withdrawn.
    """

    version: Version
    at: datetime | None
    yanked: bool = False


@dataclass(frozen=True)
class Vulnerability:
    """A known vulnerability of a version.

    Args:
        name: its number, such as CVE-2026-1234.
        fixed_in: the releases without it.
    """

    name: str
    fixed_in: tuple[Version, ...]


@dataclass(frozen=True)
class Step:
    """The next release of a server, and the vulnerabilities that it mends."""

    version: Version
    mends: tuple[Vulnerability, ...] = ()


def next_step(
    current: Version,
    releases: Iterable[Release],
    vulnerabilities: Sequence[Vulnerability],
    now: datetime,
    cooldown: timedelta,
) -> Step | None:
    """Return the next step of a server; None where it runs the newest release that is old enough.

    A step goes one minor version further at most, so that each has its own rehearsal; a new major
    version is left to people. A release that mends a known vulnerability need not be old.
    """
    later = [each for each in releases if each.version > current and not each.yanked]
    same = [each for each in later if each.version.major == current.major]
    old = [each for each in same if each.at is not None and each.at <= now - cooldown]
    # A release whose age is not known counts as new.
    safe = {version for each in vulnerabilities for version in each.fixed_in}
    usable = sorted({each.version for each in old} | (safe & {each.version for each in same}))
    if not usable:
        return None
    version = _nearest(current, usable)
    return Step(version, tuple(each for each in vulnerabilities if mended(each, current, version)))


def mended(vulnerability: Vulnerability, before: Version, after: Version) -> bool:
    """Return whether an upgrade mends a vulnerability: some fixed release is on its way."""
    return any(before < fixed <= after for fixed in vulnerability.fixed_in)


def _nearest(current: Version, usable: Sequence[Version]) -> Version:
    """Return the newest patch of the next minor version, or of the current one where there is none."""
    minors = sorted({each.minor for each in usable})
    further = [minor for minor in minors if minor > current.minor]
    wanted = further[0] if further else minors[0]
    return max(each for each in usable if each.minor == wanted)
