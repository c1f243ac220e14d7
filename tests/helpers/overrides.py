"""Let overrides expire without waiting."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from roost.plan.desired import OVERRIDE_KEY


def end_override(metadata: dict[str, str]) -> None:
    """Set the end of a machine's override to an hour ago."""
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    times = {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}"}
    times["until"] = f"{since + timedelta(hours=4):%Y-%m-%dT%H:%M:%SZ}"
    metadata[OVERRIDE_KEY] = json.dumps({**json.loads(metadata[OVERRIDE_KEY]), **times})
