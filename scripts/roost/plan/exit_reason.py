"""What a server of our image left in its machine's metadata before it ended. Pure.

See deploy/roost_server/exit_reason.py. It holds no secret when it is written; what it is made of is
still only a text that a machine sent.
"""

from __future__ import annotations

import json

from roost.fly.models import Machine
from roost.http.messages import one_line

LAST_ERROR_KEY = "roost_last_error"
MAX_WORDS = 300


def last_words_of(machine: Machine, version: str) -> str:
    """Return why a machine ended in one line; empty where it left nothing, or for another config.

    Args:
        machine: as it is now.
        version: of the config whose end is asked about; empty for any.
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
