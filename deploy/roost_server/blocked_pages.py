"""Pages that cost more than they are worth."""

from __future__ import annotations

from roost_server.asgi import App, Receive, Scope, Send

# Unauthenticated, and seconds of the event loop a request.
CLOSED = frozenset(
    {"/docs", "/redoc", "/openapi.json", "/api/docs", "/api/redoc", "/api/openapi.json"}
)


def close_costly_pages(app: App) -> App:
    """Answer 404 for the pages that are closed."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].rstrip("/") in CLOSED:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return serve
