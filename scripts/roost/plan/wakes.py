"""Read which requests woke a server: from its machine's metadata, or from its report. Pure.

Written by deploy/roost_server/wake_notes.py. It is text that a machine sent, with words of whoever sent the
request, so it is checked and shortened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from roost.fly.models import Machine
from roost.http.messages import one_line

WAKES_KEY = "roost_wakes"
MOST = 20
MAX_WORDS = 80


@dataclass(frozen=True)
class Wake:
    """The request that came first after a sleep.

    Args:
        at: when it came, in UTC.
        path: its path, without the query.
        agent: its user agent; may be empty.
        address: a part of the address that it came from, such as `203.0.113.x`; may be empty.
    """

    at: datetime
    path: str
    agent: str
    address: str


def wakes_of(machines: Iterable[Machine]) -> tuple[Wake, ...]:
    """Return what woke these machines, as they left it, the oldest first."""
    found = (wake for m in machines for wake in _read_text(m.metadata.get(WAKES_KEY, "")))
    return tuple(sorted(found, key=lambda wake: wake.at))


def read_wakes(found: Any) -> tuple[Wake, ...]:
    """Return the wakes of a report or of an entry; what has another form is left out."""
    listed = found if isinstance(found, list) else []
    return tuple(_read(listed[-MOST:]))


def _read_text(text: str) -> tuple[Wake, ...]:
    try:
        return read_wakes(json.loads(text))
    except (ValueError, RecursionError):
        return ()


def _read(listed: list[Any]) -> Iterator[Wake]:
    for one in listed:
        if not isinstance(one, dict):
            continue
        try:
            at = datetime.fromtimestamp(float(one["at"]), UTC)
        except (LookupError, TypeError, ValueError, OverflowError, OSError):
            continue
        words = (one_line(str(one.get(key) or ""), MAX_WORDS) for key in ("path", "agent", "from"))
        yield Wake(at, *words)
