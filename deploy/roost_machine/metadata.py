"""Write and read the machine's own metadata over its own socket.

That needs no token and does not restart the machine (docs.machines.dev). Others read it from Fly
while the machine sleeps or is gone.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from roost_machine.unix_http import UnixConnection

LIMIT_S = 3.0


def write_metadata(
    key: str, value: str | None, environ: Mapping[str, str], limit_s: float = LIMIT_S
) -> bool:
    """Write one entry, or remove it if the value is None; return whether Fly accepted that.

    Args:
        key: the name of the entry.
        value: a text without secrets, or None.
        environ: holds the names of the app and the machine, as Fly sets them.
        limit_s: the longest wait for the connection and the reply, in seconds.
    """
    if not environ.get("FLY_APP_NAME") or not environ.get("FLY_MACHINE_ID"):
        return False
    path = f"{_path(environ)}/{key}"
    with closing(_connection(environ, limit_s)) as api:
        try:
            if value is None:
                api.request("DELETE", path)
            else:
                body = json.dumps({"value": value})
                api.request("POST", path, body, {"content-type": "application/json"})
            return api.getresponse().status < http.client.BAD_REQUEST
        except (OSError, http.client.HTTPException):
            return False


def read_metadata(environ: Mapping[str, str], limit_s: float = LIMIT_S) -> dict[str, Any] | None:
    """Return every entry; None if Fly does not answer with them.

    Args:
        environ: holds the names of the app and the machine, as Fly sets them.
        limit_s: the longest wait for the connection and the reply, in seconds.
    """
    try:
        with closing(_connection(environ, limit_s)) as api:
            api.request("GET", _path(environ))
            reply = api.getresponse()
            found = json.loads(reply.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return found if reply.status == http.client.OK and isinstance(found, dict) else None


def _path(environ: Mapping[str, str]) -> str:
    app, machine = environ.get("FLY_APP_NAME"), environ.get("FLY_MACHINE_ID")
    return f"/v1/apps/{app}/machines/{machine}/metadata"


def _connection(environ: Mapping[str, str], limit_s: float) -> UnixConnection:
    return UnixConnection(environ.get("FLY_API_SOCKET", "/.fly/api"), limit_s)
