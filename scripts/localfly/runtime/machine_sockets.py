"""Machine-local API sockets: `/.fly/api` on Fly, one Unix socket per machine here."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from localfly.runtime.serving import Serving

Json = dict[str, Any]
MACHINE_SCOPE = "localfly.machine"
"""The key of the ASGI scope with the machine that a request comes from."""


class MachineSockets:
    """Opens and closes the sockets; the daemon sets the API application later."""

    def __init__(self, home: Path) -> None:
        # Unix socket paths are limited to about 100 characters, so home folders are too long.
        name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
        self._folder = Path(tempfile.gettempdir()) / f"localfly-{os.getuid()}-{name}"
        self._serving: dict[str, Serving] = {}
        self.app: Any = None

    async def open(self, app: str, machine: str) -> Path:
        """Open a machine's socket if needed, and return its path."""
        path = self._folder / machine
        if machine not in self._serving:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            path.unlink(missing_ok=True)
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(path))
            listening.listen(64)
            self._serving[machine] = Serving(self._scoped(app, machine), listening)
        return path

    def close(self, machine: str) -> None:
        """Close a machine's socket in the background."""
        serving = self._serving.pop(machine, None)
        if serving:
            task = asyncio.ensure_future(serving.close())
            task.add_done_callback(lambda _: None)
        (self._folder / machine).unlink(missing_ok=True)

    async def aclose(self) -> None:
        """Close all sockets."""
        for machine, serving in list(self._serving.items()):
            await serving.close()
            (self._folder / machine).unlink(missing_ok=True)
        self._serving.clear()
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _scoped(self, app: str, machine: str) -> Any:
        async def serve(scope: Json, receive: Any, send: Any) -> None:
            await self.app({**scope, MACHINE_SCOPE: (app, machine)}, receive, send)

        return serve
