"""Read what the waker left in its machine's metadata about its own proof. Pure.

Written by deploy/waker/roost_waker/proof.py: it announced itself, and its own wake arrived. It is text
that a machine sent, so it is checked and shortened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from roost.fly.models import Machine
from roost.http.messages import one_line

PROOF_KEY = "roost_waker_proof"
MAX_WORDS = 200


@dataclass(frozen=True)
class SelfWake:
    """The result of the last proof.

    Args:
        seconds: from its announcement to its wake.
        error: why the wake did not arrive; empty if it did.
    """

    seconds: float
    error: str


def proof_of_version(machine: Machine, version: str) -> SelfWake | None:
    """Return the proof of a machine with this version of its config; None if there is none yet."""
    try:
        left = json.loads(machine.metadata.get(PROOF_KEY, ""))
    except (ValueError, RecursionError):
        return None
    if not isinstance(left, dict) or left.get("version") != version:
        return None
    seconds, error = left.get("seconds"), left.get("error")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not isinstance(error, str):
        return None
    return SelfWake(seconds, one_line(error, MAX_WORDS))
