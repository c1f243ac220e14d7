"""Report to the gate what the server knows about itself: its database, API path and last error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from roost_server.asgi import App, Receive, Scope, Send, answer
from roost_server.maintenance_mode import from_gate, is_logged_in

REPORT_PATH = "/roost/report"


def report_to_gate(
    app: App, environ: Mapping[str, str], report: Callable[[], Mapping[str, str]]
) -> App:
    """Answer the gate's authenticated request with the report; pass everything else on.

    Args:
        app: answers all other requests.
        environ: holds the login.
        report: returns the report, which must hold no secret.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"] == REPORT_PATH and from_gate(scope)
        if not asked:
            await app(scope, receive, send)
        elif not is_logged_in(scope, environ):
            await answer(send, 401)
        else:
            kind = (b"content-type", b"application/json")
            await send({"type": "http.response.start", "status": 200, "headers": [kind]})
            await send({"type": "http.response.body", "body": json.dumps(report()).encode()})

    return serve
