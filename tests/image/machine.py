"""Run a server in a container as Fly would run Roost's machine."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from image.buildah import ISOLATION
from image.errors import ImageError
from image.shell import contained, end_of
from roost.environment.load import EnvironmentFile
from roost.environment.model import AUTH_SECRET
from roost.plan.desired import MOUNT_PATH
from roost.plan.machine_config import machine_config

INIT = "tini"
HEALTH = "/api/health"
HEALTHY_LIMIT_S = 180.0
LOOK_S = 0.02


@dataclass(frozen=True)
class Machine:
    """The settings of a container."""

    env: Mapping[str, str]
    port: int
    stop_limit_s: float

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Served:
    """A running server."""

    machine: Machine
    process: subprocess.Popen[bytes]
    log: Path

    def wait_healthy(self) -> float:
        """Wait for the first successful health check; return the seconds since the program's start.

        Raises:
            ImageError: the server ended or did not answer in time; has the end of its log.
        """
        deadline = time.monotonic() + HEALTHY_LIMIT_S
        while not answers(self.machine.port):
            if self.process.poll() is not None:
                raise self._failure(f"The server ended with {self.process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"The server is not healthy after {HEALTHY_LIMIT_S:.0f} s")
            time.sleep(LOOK_S)
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s(self.init().pid)

    def init(self) -> psutil.Process:
        """Return the first process of the container.

        Raises:
            ImageError: there is no process with that name.
        """
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if process.name() == INIT:
                return process
        raise self._failure(f"{INIT} does not run: the image does not start through it")

    def user_id(self) -> int:
        """Return the id of the server's user."""
        (server,) = self.init().children()
        return int(server.uids().effective)

    def stop(self) -> tuple[int, float]:
        """Send SIGTERM to the first process, as Fly does; return the exit code and the seconds.

        Raises:
            ImageError: it did not end within the machine's stop timeout.
        """
        began = time.monotonic()
        self.init().send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(self.machine.stop_limit_s)
        except subprocess.TimeoutExpired:
            raise self._failure(
                f"SIGTERM did not end the server within {self.machine.stop_limit_s:.0f} s"
            ) from None
        return code, time.monotonic() - began

    def _failure(self, what: str) -> ImageError:
        return ImageError(f"{what}. It said:\n{end_of(self.log)}")


def machine_of(file: EnvironmentFile, image: str, login: str) -> Machine:
    """Return the machine of an environment on a free port, without autostop."""
    config = machine_config(file, image, "app-1")
    port = free_port()
    own = {
        "PREFECT_SERVER_API_PORT": str(port),
        "ROOST_IDLE_ACTION": "off",
        AUTH_SECRET: login,
    }
    limit = float(str(config["stop_config"]["timeout"]).removesuffix("s"))
    return Machine({**config["env"], **own}, port, limit)


def run_argv(machine: Machine, container: str, volume: Path, command: Sequence[str]) -> list[str]:
    """Return the arguments of `buildah run` for a machine with the host's network."""
    env = (f"--env={name}={value}" for name, value in machine.env.items())
    options = ("--isolation", ISOLATION, f"--volume={volume}:{MOUNT_PATH}", *env)
    return ["run", *options, container, "--", *command]


@contextlib.contextmanager
def served(machine: Machine, argv: Sequence[str], log: Path) -> Iterator[Served]:
    """Start a server, and end it and its descendants in any case."""
    with log.open("wb") as said, contained(argv, stdout=said, stderr=said) as process:
        yield Served(machine, process, log)


def answers(port: int) -> bool:
    """Return whether the health check answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", HEALTH)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def started_s(pid: int) -> float:
    """Return a process's start time in seconds of CLOCK_BOOTTIME, with a resolution of 0.01 s."""
    # proc(5): field 22 in clock ticks; the name in field 2 may contain any character.
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
