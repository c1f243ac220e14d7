"""Overrides whose time is over, without waiting for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from roost.plan.desired import OVERRIDE_KEY


def end_override(metadata: dict[str, str]) -> None:
    """Have the override that a machine carries end an hour ago."""
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    times = {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}"}
    times["until"] = f"{since + timedelta(hours=4):%Y-%m-%dT%H:%M:%SZ}"
    metadata[OVERRIDE_KEY] = json.dumps({**json.loads(metadata[OVERRIDE_KEY]), **times})
