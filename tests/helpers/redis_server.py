"""A Redis of a test's own, from Debian's package: in a temporary folder, on a free port, with a password."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.waiting import LIMIT_S, until
from image.machine import free_port


def find_program() -> str | None:
    """Return the program `redis-server`, if it is installed."""
    return shutil.which("redis-server", path="/usr/bin:/usr/local/bin")


class RedisServer:
    """A server that can be stopped and started again on the same port, without what it held.

    Args:
        program: the program.
        folder: a folder of its own.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._port, self.password = free_port(), secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address, with the password."""
        return f"redis://default:{self.password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        config = self._folder / "redis.conf"  # not an argument, which every process could read
        config.write_text(
            f"bind 127.0.0.1\nport {self._port}\nrequirepass {self.password}\n"
            f'save ""\nappendonly no\ndir {self._folder}\nmaxmemory-policy noeviction\n'
        )
        self._process = subprocess.Popen(
            [self._program, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def stop(self) -> None:
        """Kill it; whatever it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Redis ended"
        try:
            with socket.create_connection(("127.0.0.1", self._port), LIMIT_S) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                return b"+PONG" in connection.recv(64)
        except OSError:
            return False


@contextmanager
def redis_server(program: str) -> Iterator[RedisServer]:
    """Run a server inside the block."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(program, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
