"""What the server knows of itself and nobody sees from outside, for the gate that proves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from roost_server.asgi import App, Receive, Scope, Send, answer
from roost_server.maintenance_mode import from_gate, is_logged_in

REPORT_PATH = "/roost/report"


def report_to_gate(
    app: App, environ: Mapping[str, str], report: Callable[[], Mapping[str, str]]
) -> App:
    """Answer the gate, logged in, with what the server reports; pass everything else on.

    Args:
        app: answers the rest.
        environ: says who may log in.
        report: returns what to report, which holds no secret.
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
