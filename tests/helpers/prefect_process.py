"""A real Prefect server as the machine runs it, or stock, as a process of the test's own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx

from helpers.plain_http import NO_TLS
from helpers.waiting import LIMIT_S, until
from localfly.images.builder import Image

LOGIN = "admin:s3cret"


def free_port() -> int:
    """Find a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class PrefectProcess:
    """A server on one home folder, which can be restarted; use it as a context manager.

    Args:
        image: the image that it runs.
        folder: where it keeps its home and its log.
        stock: whether it is `prefect server start` instead of our launcher.
        settings: more environment variables.
    """

    def __init__(self, image: Image, folder: Path, *, stock: bool = False, **settings: str) -> None:
        self.home, self.log_file, self.stock = folder / "home", folder / "log", stock
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = settings
        self.image = image
        self.process: subprocess.Popen[bytes] | None = None
        self.home.mkdir(parents=True, exist_ok=True)

    def environ(self) -> dict[str, str]:
        """Return the environment variables of the process."""
        stock_ui = {"PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.home / "ui")}
        return {
            "PATH": f"{self.image.bin}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            **({} if not self.stock else stock_ui),
            **self.image.env,
            "IMAGE_ROOT": str(self.image.folder),
            "ROOST_IDLE_ACTION": "off",
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_API_AUTH_STRING": LOGIN,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "true",
            **self.settings,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        stock = (str(self.image.bin / "prefect"), "server", "start")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                stock if self.stock else self.image.command,
                env=self.environ(),
                cwd=self.image.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._is_ready)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            url = f"{self.url}/api/ready"
            return (
                httpx.get(url, trust_env=False, timeout=LIMIT_S, verify=NO_TLS).status_code == 200
            )
        except httpx.TransportError:
            return False

    def stop(self) -> float:
        """Stop it with a signal, as Fly does; return the seconds that it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(LIMIT_S)
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill it, with all its children."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def log(self) -> str:
        """Return its whole log."""
        return self.log_file.read_text("utf-8", "replace")

    def http(self) -> httpx.Client:
        """Open a client of its API, logged in."""
        user, _, password = LOGIN.partition(":")
        return httpx.Client(
            base_url=f"{self.url}/api",
            auth=(user, password),
            trust_env=False,
            timeout=LIMIT_S,
            verify=NO_TLS,
        )

    def run(self, script: str, *arguments: str) -> str:
        """Run a Python program as a client of it; return what that prints."""
        done = subprocess.run(
            [self.image.bin / "python", "-c", script, *arguments],
            env={
                **{name: self.environ()[name] for name in ("PATH", "LANG", "DO_NOT_TRACK")},
                "HOME": str(self.home.parent),
                "PREFECT_HOME": str(self.home.parent / "client"),
                "PREFECT_API_URL": f"{self.url}/api",
                "PREFECT_API_AUTH_STRING": LOGIN,
            },
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
