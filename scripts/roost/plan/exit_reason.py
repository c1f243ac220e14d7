"""Read the last error that a server of Roost's image left in its machine's metadata. Pure.

Written by deploy/roost_machine/exit_reason.py, after its caller removed secrets. It is still text that a
machine sent, so it is checked and shortened.
"""

from __future__ import annotations

import json

from roost.fly.models import Machine
from roost.http.messages import one_line

LAST_ERROR_KEY = "roost_last_error"
MAX_WORDS = 300


def last_words_of(machine: Machine, version: str) -> str:
    """Return why a machine's server exited, on one line; empty if it left no reason.

    Args:
        machine: the machine now.
        version: the config version that the reason must be about; empty for any.
    """
    try:
        left = json.loads(machine.metadata.get(LAST_ERROR_KEY, ""))
    except (ValueError, RecursionError):
        return ""
    if not isinstance(left, dict) or not isinstance(left.get("error"), str):
        return ""
    if version and left.get("version") not in (version, ""):
        return ""
    return one_line(left["error"], MAX_WORDS)
