"""Why this machine ends, left where the gate finds it: in the machine's own metadata.

Fly has no interface for logs, and a machine that exits answers nobody. Metadata is written through
the machine's own socket, without a token, and starts nothing anew (docs.machines.dev).
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing

from roost_server.unix_http import UnixConnection

KEY = "roost_last_error"
LIMIT_S = 3.0


def write_exit_reason(text: str, environ: Mapping[str, str]) -> bool:
    """Write a text that holds no secret into the metadata; say whether Fly took it.

    With the version of the machine's config, so that no later one is blamed for it.
    """
    app, machine = environ.get("FLY_APP_NAME"), environ.get("FLY_MACHINE_ID")
    if not app or not machine:
        return False
    word = json.dumps({"version": environ.get("FLY_MACHINE_VERSION", ""), "error": text})
    api = UnixConnection(environ.get("FLY_API_SOCKET", "/.fly/api"), LIMIT_S)
    path = f"/v1/apps/{app}/machines/{machine}/metadata/{KEY}"
    with closing(api):
        try:
            body = json.dumps({"value": word})
            api.request("POST", path, body, {"content-type": "application/json"})
            return api.getresponse().status < http.client.BAD_REQUEST
        except (OSError, http.client.HTTPException):
            return False
