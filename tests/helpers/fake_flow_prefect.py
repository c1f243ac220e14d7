"""A fake Prefect server that knows a flow server, whose newest version is always online and proved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from helpers.fake_prefect import FakePrefect, say

PATH = "/roost/flow-servers"


class FlowPrefect(FakePrefect):
    """Answers as `FakePrefect`, and for flow servers as Roost's image does.

    `online` returns the config version that is online; an empty one means that nobody is.
    """

    def __init__(self, online: Callable[[], str]) -> None:
        super().__init__()
        self.online = online
        self.canary = "COMPLETED"
        """How the run of the canary ends."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path
        if path.startswith(PATH):
            return self._flow_server(path)
        if path.startswith("/api/logs/filter"):
            return say(200, [{"message": f"roost canary of nightly, version {self.online()}"}])
        if path.startswith("/api/flow_runs/filter") and b"roost-canary" in request.content:
            return say(200, [{"id": "canary", "state": {"type": self.canary}}])
        return await super().__call__(request)

    def _flow_server(self, path: str) -> httpx.Response:
        if path == PATH:
            return say(200, {"flow_servers": []})
        if path.endswith("/wake"):
            return say(202)
        if not self.online():
            return say(404)
        record: dict[str, Any] = {
            "name": "nightly",
            "version": self.online(),
            "prefect": "3.8.8",
            "online_at": "2026-11-30T10:00:00Z",
            "polled_at": "2026-11-30T10:00:05Z",
            "deployments": [{"id": "d"}],
            "pools": [],
        }
        return httpx.Response(200, content=json.dumps(record))
