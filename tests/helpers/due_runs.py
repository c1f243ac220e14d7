"""What a server leaves in its machine's metadata for a run that is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def next_due(**far: float) -> dict[str, str]:
    """Return the record for a run so far from now, such as `minutes=-2`."""
    at = (datetime.now(UTC) + timedelta(**far)).isoformat(timespec="seconds")
    return {"at": at, "flow_server": "nightly", "deployment": "load/all"}
