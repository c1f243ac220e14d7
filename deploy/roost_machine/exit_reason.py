"""Write why the machine ends into the machine's own metadata, where the gate reads it.

Fly has no API for logs, and a machine that exited answers no request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from roost_machine.metadata import write_metadata

KEY = "roost_last_error"
LIMIT_S = 3.0


def write_exit_reason(text: str, environ: Mapping[str, str]) -> bool:
    """Write a text without secrets into the metadata; return whether Fly accepted it.

    The version of the machine's config is stored with it, so that no later version is blamed.
    """
    entry = json.dumps({"version": environ.get("FLY_MACHINE_VERSION", ""), "error": text})
    return write_metadata(KEY, entry, environ, LIMIT_S)
