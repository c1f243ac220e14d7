"""Fly's proxy as a local server: one port for each app, in front of its machines.

A request to a sleeping app wakes a machine and is held until it can be answered. The app's local
port stands for Fly's port 443 without TLS, so `force_https` redirects nothing, and machines see the
scheme http.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from localfly.proxy.autostop import Autostop
from localfly.proxy.host import Host, MachineView
from localfly.proxy.listener import AppListener, ProxySettings

if TYPE_CHECKING:
    from localfly.proxy.router import Router

__all__ = ["Host", "MachineView", "Proxy", "ProxySettings"]


class Proxy:
    """Serves every opened app, and suspends or stops machines without load."""

    def __init__(self, host: Host, settings: ProxySettings | None = None) -> None:
        self._host = host
        self._settings = settings or ProxySettings()
        self._listeners: dict[str, AppListener] = {}
        self.autostop = Autostop(host, self._routers, self._settings.autostop)
        self._loop: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def open(self, app: str, port: int | None = None) -> int:
        """Serve an app and return its port; a served app keeps its port.

        Raises:
            PortTakenError: Another program uses that port.
        """
        async with self._opening:
            if app not in self._listeners:
                listener = AppListener(app, self._host, self._settings)
                await listener.open(port)
                self._listeners[app] = listener
        if self._loop is None:
            self._loop = asyncio.create_task(self.autostop.run())
        return self._listeners[app].port

    def load(self, app: str) -> dict[str, int]:
        """Return the number of requests and tunnels in flight by machine."""
        listener = self._listeners.get(app)
        return listener.router.loads if listener else {}

    async def close(self, app: str) -> None:
        """Stop serving an app; requests in flight are cut."""
        listener = self._listeners.pop(app, None)
        if listener is not None:
            await listener.close()

    async def aclose(self) -> None:
        """Stop serving all apps."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        for app in list(self._listeners):
            await self.close(app)

    def _routers(self) -> list[Router]:
        return [listener.router for listener in self._listeners.values()]
