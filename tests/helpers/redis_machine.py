"""The program of a managed Redis as a process of its own, on a loopback address of a test's own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from helpers.prefect_process import free_port
from helpers.waiting import until
from localfly.runtime.machine_processes import free_address

PROGRAM = Path(__file__).parents[2] / "deploy" / "managed_redis" / "managed_redis.py"
REDIS_PORT = 6379


class RedisMachine:
    """A machine that runs a Redis; its volume outlives it."""

    def __init__(self, folder: Path) -> None:
        self.address, self.port = free_address([REDIS_PORT]), free_port()
        self.password = secrets.token_urlsafe(16)
        self.volume, self.log_file = folder / "volume", folder / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The variables of its machine."""
        return {
            "PATH": f"{os.environ['PATH']}:/usr/bin",
            "PYTHONPATH": f"{PROGRAM.parents[1]}:{PROGRAM.parent}",
            "PYTHONUNBUFFERED": "1",
            "ROOST_HEALTH_HOST": "127.0.0.1",
            "ROOST_HEALTH_PORT": str(self.port),
            "ROOST_REDIS_DATA": str(self.volume),
            "ROOST_REDIS_LISTEN": self.address,
            "ROOST_REDIS_MAX_MB": "64",
            "REDIS_PASSWORD": self.password,
        }

    @property
    def log(self) -> str:
        """What it logged."""
        return self.log_file.read_text("utf-8")

    def launch(self, **variables: str) -> RedisMachine:
        """Start it without waiting."""
        self.volume.mkdir(exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                env={**self.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def start(self) -> RedisMachine:
        """Start it, and wait until it is healthy."""
        self.launch()
        until(lambda: self.health()[0] == 200)
        return self

    def health(self) -> tuple[int, str]:
        """Return the status and the text that Fly's check gets; 0 if nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ask(self, *command: str, password: str = "") -> str:
        """Return Redis's answer to a command, by its own client; an error is an answer too."""
        said = subprocess.run(
            ["/usr/bin/redis-cli", "-h", self.address, "--no-auth-warning", *command],
            env={"REDISCLI_AUTH": password or self.password},
            capture_output=True,
            text=True,
            check=False,
        )
        return said.stdout.strip()

    def stop(self) -> int:
        """Stop it as Fly does, and return its exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(60)

    def clean(self) -> None:
        """End it, and the Redis that it started."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
