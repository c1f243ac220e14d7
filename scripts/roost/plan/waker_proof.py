"""Read what the waker left in its machine's metadata about its own proof. Pure.

Written by deploy/waker/roost_waker/proof.py: it announced itself, and its own wake arrived. It is text
that a machine sent, so it is checked and shortened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from roost.fly.models import Machine
from roost.http.messages import one_line

PROOF_KEY = "roost_waker_proof"
MAX_WORDS = 200
CLOCKS_S = 5.0
"""By how much the clocks of a machine and of Fly's API may differ."""


@dataclass(frozen=True)
class SelfWake:
    """The result of the last proof.

    Args:
        seconds: from its announcement to its wake.
        error: why the wake did not arrive; empty if it did.
    """

    seconds: float
    error: str


def proof_of_start(machine: Machine, version: str) -> SelfWake | None:
    """Return the proof of a machine's last start with this version of its config; None if not yet.

    A waker that was stopped and is started again has the version and the proof of before. One of an
    older image left no time with it: for that one the version has to do.
    """
    try:
        left = json.loads(machine.metadata.get(PROOF_KEY, ""))
    except (ValueError, RecursionError):
        return None
    if not isinstance(left, dict) or left.get("version") != version:
        return None
    if (at := _time(left.get("at"))) and at < _started_at(machine) - CLOCKS_S:
        return None
    seconds, error = left.get("seconds"), left.get("error")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not isinstance(error, str):
        return None
    return SelfWake(seconds, one_line(error, MAX_WORDS))


def _started_at(machine: Machine) -> float:
    """Return when a machine started last, in seconds since 1970; 0 if its events do not say."""
    starts = (
        event.timestamp / 1000
        for event in machine.events
        if (event.type, event.status) == ("start", "started")
    )
    return max(starts, default=0.0)


def _time(value: object) -> float | None:
    """Return a time of RFC 3339 in seconds since 1970; None for anything else."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return at.timestamp() if at and at.tzinfo else None
    except (ValueError, OverflowError):
        return None
