"""What a release changed of the one before it, by the names of fields; no value is told. Pure."""

from __future__ import annotations

from roost.plan.compare import differences
from roost.plan.fields import Json, without_fields
from roost.plan.releases import Release

_NOT_TOLD = frozenset({"metadata", "mounts"})
"""What of a config the server does not see."""


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
    seen = {key: value for key, value in release.config.items() if key not in _NOT_TOLD}
    return without_fields(seen, (*release.ignored, *other.ignored))
