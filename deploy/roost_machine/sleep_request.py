"""Ask Fly over the machine's own socket to suspend or stop this machine."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from contextlib import closing
from enum import Enum

from roost_machine.unix_http import UnixConnection

# By ROOST_IDLE_ACTION: what to request, in order, as Fly cannot suspend every machine.
ACTIONS = {"suspend": ("suspend", "stop"), "stop": ("stop",)}
PROXY_HEADER = "fly-request-id"
"""Fly's proxy adds this header to each request that wakes a machine or keeps it awake; Fly's own health
checks do not have it."""
ASK_LIMIT_S = 10.0


class FlyReply(Enum):
    """Fly's reply to a request; after LOST it is unknown what Fly did."""

    AGREED = "agreed"
    REFUSED = "refused"
    LOST = "lost"


def ask(action: str, environ: Mapping[str, str]) -> FlyReply:
    """Ask Fly to suspend or stop this machine; log and return its reply."""
    machine = f"/v1/apps/{environ.get('FLY_APP_NAME')}/machines/{environ.get('FLY_MACHINE_ID')}"
    api = UnixConnection(environ.get("FLY_API_SOCKET", "/.fly/api"), ASK_LIMIT_S)
    with closing(api):
        try:
            api.connect()
        except OSError as error:
            print(f"roost: cannot ask Fly to {action} this machine: {error!r}", flush=True)
            return FlyReply.REFUSED
        try:
            api.request("POST", f"{machine}/{action}")
            status = api.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            lost = f"asked Fly to {action} this machine, and the reply was lost: {error!r}"
            print(f"roost: idle; {lost}", flush=True)
            return FlyReply.LOST
    agreed = status < http.client.BAD_REQUEST
    verdict = "agreed" if agreed else f"refused with status {status}"
    print(f"roost: idle; asked Fly to {action} this machine: {verdict}", flush=True)
    return FlyReply.AGREED if agreed else FlyReply.REFUSED
