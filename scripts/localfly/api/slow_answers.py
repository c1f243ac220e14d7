"""Let every answer of the Machines API take as long as it does across the internet."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send


class SlowAnswers:
    """Waits before each request to `/v1`; the local Fly's own endpoints answer at once.

    Args:
        app: the application.
        seconds: how long.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request after the delay."""
        if self._seconds and scope["type"] == "http" and str(scope["path"]).startswith("/v1/"):
            await asyncio.sleep(self._seconds)
        await self._app(scope, receive, send)
