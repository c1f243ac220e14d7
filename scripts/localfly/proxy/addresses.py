"""Fly's proxy, here: one address for each app, in front of its machines.

A request to a sleeping app wakes a machine and is held until it can be answered. The app's one local
port stands for Fly's port 443 with the TLS left out, so `force_https` has nothing to redirect: every
request is already where port 80 would send it, and the scheme told to the machine is http.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from localfly.proxy.autostop import Autostop
from localfly.proxy.host import Host, MachineView
from localfly.proxy.listener import Front, ProxySettings

if TYPE_CHECKING:
    from localfly.proxy.router import Router

__all__ = ["Host", "MachineView", "Proxy", "ProxySettings"]


class Proxy:
    """Serves every app that was opened, and puts machines to sleep that nobody needs."""

    def __init__(self, host: Host, settings: ProxySettings | None = None) -> None:
        self._host = host
        self._settings = settings or ProxySettings()
        self._fronts: dict[str, Front] = {}
        self.autostop = Autostop(host, self._routers, self._settings.autostop)
        self._loop: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def open(self, app: str, port: int | None = None) -> int:
        """Serve an app; return the port. Asked again, it only returns the port.

        Raises:
            PortTakenError: Another program has that port.
        """
        async with self._opening:
            if app not in self._fronts:
                front = Front(app, self._host, self._settings)
                await front.open(port)
                self._fronts[app] = front
        if self._loop is None:
            self._loop = asyncio.create_task(self.autostop.run())
        return self._fronts[app].port

    def load(self, app: str) -> dict[str, int]:
        """Tell the requests and tunnels in flight, by machine."""
        front = self._fronts.get(app)
        return front.router.loads if front else {}

    async def close(self, app: str) -> None:
        """Stop serving an app; what is in flight is cut."""
        front = self._fronts.pop(app, None)
        if front is not None:
            await front.close()

    async def aclose(self) -> None:
        """Stop serving all apps."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        for app in list(self._fronts):
            await self.close(app)

    def _routers(self) -> list[Router]:
        return [front.router for front in self._fronts.values()]
