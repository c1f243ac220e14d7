"""HTTP over a Unix socket, with the standard library only."""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path


class UnixConnection(http.client.HTTPConnection):
    """A connection to a server that listens on a Unix socket of this machine."""

    def __init__(self, path: str | Path, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path = Path(path)

    def connect(self) -> None:
        """Connect through the socket's folder, because a socket address limits the path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)
