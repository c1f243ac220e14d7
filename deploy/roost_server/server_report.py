"""Report to the gate what the server knows about itself: its database, API path and last error."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from roost_server.asgi import App, Receive, Scope, Send, answer
from roost_server.maintenance_mode import from_gate, is_logged_in

REPORT_PATH = "/roost/report"


def report_to_gate(
    app: App,
    environ: Mapping[str, str],
    report: Callable[[], Mapping[str, str]],
    report_more: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
) -> App:
    """Answer the gate's authenticated request with the report; pass everything else on.

    Args:
        app: answers all other requests.
        environ: holds the login.
        report: returns the report, which must hold no secret.
        report_more: returns further keys of it, from the database.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"] == REPORT_PATH and from_gate(scope)
        if not asked:
            await app(scope, receive, send)
        elif not is_logged_in(scope, environ):
            await answer(send, 401)
        else:
            more = await report_more() if report_more else {}
            kind = (b"content-type", b"application/json")
            await send({"type": "http.response.start", "status": 200, "headers": [kind]})
            body = json.dumps({**report(), **more}).encode()
            await send({"type": "http.response.body", "body": body})

    return serve
