"""Read whether the waker knows when a server is needed next. Pure.

A server of Roost's image leaves it in its machine's metadata before it sleeps, and reports it while it
is awake: `{"at": RFC 3339 or null, "error": TEXT}` (deploy/roost_server/waker_announcement.py). It is
text that a machine sent, so it is checked and shortened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roost.fly.models import Machine
from roost.http.messages import one_line
from roost.plan.next_due import read_time

ANNOUNCED_KEY = "roost_waker"
MAX_ERROR = 200


@dataclass(frozen=True)
class Announced:
    """The result of a server's last announcement to the waker.

    Args:
        at: the announced time, in UTC; None if nothing was to come.
        error: why the waker does not know it; empty if it does.
    """

    at: datetime | None
    error: str = ""

    def document(self) -> dict[str, str | None]:
        """Return the JSON form."""
        at = self.at.isoformat().replace("+00:00", "Z") if self.at else None
        return {"at": at, "error": self.error}


def announced_of(machines: Iterable[Machine]) -> Announced | None:
    """Return what the first machine that announced anything left; None if none did."""
    for machine in machines:
        try:
            found = read_announced(json.loads(machine.metadata.get(ANNOUNCED_KEY, "")))
        except (ValueError, RecursionError):
            continue
        if found:
            return found
    return None


def read_announced(value: Any) -> Announced | None:
    """Return a parsed JSON value as an announcement; None if it has another form."""
    if not isinstance(value, dict) or not isinstance(value.get("error"), str):
        return None
    error = one_line(value["error"], MAX_ERROR)
    if value.get("at") is None:
        return Announced(None, error)
    try:
        return Announced(read_time(value["at"]), error)
    except ValueError:
        return None
