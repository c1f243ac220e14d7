"""Write why the machine ends into the machine's own metadata, where the gate reads it.

Fly has no API for logs, and a machine that exited answers no request. The metadata is written over
the machine's own socket, which needs no token, and does not restart the machine
(docs.machines.dev).
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
    """Write a text without secrets into the metadata; return whether Fly accepted it.

    The version of the machine's config is stored with it, so that no later version is blamed.
    """
    app, machine = environ.get("FLY_APP_NAME"), environ.get("FLY_MACHINE_ID")
    if not app or not machine:
        return False
    entry = json.dumps({"version": environ.get("FLY_MACHINE_VERSION", ""), "error": text})
    api = UnixConnection(environ.get("FLY_API_SOCKET", "/.fly/api"), LIMIT_S)
    path = f"/v1/apps/{app}/machines/{machine}/metadata/{KEY}"
    with closing(api):
        try:
            body = json.dumps({"value": entry})
            api.request("POST", path, body, {"content-type": "application/json"})
            return api.getresponse().status < http.client.BAD_REQUEST
        except (OSError, http.client.HTTPException):
            return False
