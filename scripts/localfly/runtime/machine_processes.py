"""Start machines as processes, watch their memory, and find them again after a crash.

A machine outlives the daemon on purpose: it leads its own session and is not tied to its parent. The
next daemon finds it again by pid and start time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localfly.errors import NoAddressError, SpawnError
from localfly.runtime import procfs
from localfly.runtime.memory import MemoryWatch
from localfly.runtime.path_mapping import PathMapping
from localfly.runtime.process import MARK, Exit, ProcessInfo, RunningProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from localfly.images.builder import Image

__all__ = ["Exit", "ProcessInfo", "ProcessSpec", "RunningProcess", "Runtime", "free_address"]

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG_BYTES = 10 * 1024 * 1024
_ADDRESS_TRIES = 50


@dataclass(frozen=True)
class ProcessSpec:
    """The description of a machine's process.

    Attributes:
        machine_id: The machine's id, for messages.
        image: The image to run.
        argv: The command, or None for the image's own.
        env: The machine's environment with secrets; values are rewritten (see path_mapping.py).
        address: Its own loopback address, from `free_address`.
        mounts: The volume's folder here, by the mount path in the machine.
        log: The file to which its standard output and error are appended.
        memory_mb: The memory limit; above it the process is killed.
        scratch: The folder of its root file system; its `home` and `tmp` are emptied at each start.
        socket: The machine-local API socket, which the machine sees as `/.fly/api`.
        ports: The port of each app's proxy, by the app's name.
        machines: The address of a machine of each app, by the app's name.
    """

    machine_id: str
    image: Image
    argv: Sequence[str] | None
    env: Mapping[str, str] = field(repr=False)
    address: str
    mounts: Mapping[str, Path]
    log: Path
    memory_mb: int
    scratch: Path
    socket: Path
    ports: Mapping[str, int] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)

    def path_mapping(self) -> PathMapping:
        """Return the mapping from paths in the machine to paths here."""
        paths = {path: str(folder) for path, folder in self.mounts.items()}
        return PathMapping(
            paths={"/tmp": str(self.scratch / "tmp"), "/.fly/api": str(self.socket), **paths},  # noqa: S108 - the machine's /tmp, not ours
            address=self.address,
            ports=self.ports,
            machines=self.machines,
        )

    def command(self) -> list[str]:
        """Return the command with paths rewritten to those here."""
        mapping = self.path_mapping()
        return [mapping.rewrite(part) for part in (self.argv or self.image.command)]

    def environment(self) -> dict[str, str]:
        """Return the whole environment, without any variable of the daemon.

        The image's variables come first, then the machine's, as in a container.
        """
        asked = {"FLY_API_SOCKET": "/.fly/api", **self.image.env, **self.env}
        return {
            "PATH": f"{self.image.bin}:{_SYSTEM_PATH}",
            "HOME": str(self.scratch / "home"),
            "TMPDIR": str(self.scratch / "tmp"),
            "LANG": "C.UTF-8",
            **self.path_mapping().rewrite_all(asked),
            "IMAGE_ROOT": str(self.image.folder),
            MARK: str(self.scratch),
        }

    def mark(self) -> bytes:
        """Return the variable that only this machine's processes have, as `NAME=value`."""
        return f"{MARK}={self.scratch}".encode()


class Runtime:
    """Starts and adopts machines' processes, and enforces their memory limits.

    The first machine needs a running event loop.
    """

    def __init__(self) -> None:
        self._watch = MemoryWatch()

    async def aclose(self) -> None:
        """Stop watching; the machines continue to run for the next daemon to adopt."""
        await self._watch.aclose()

    async def start(self, spec: ProcessSpec) -> RunningProcess:
        """Start a machine's process with an empty root file system.

        Raises:
            SpawnError: The command does not exist or is not executable.
        """
        await asyncio.to_thread(_prepare, spec)
        pid = _spawn(spec)
        stat = procfs.read_stat(pid)
        process = RunningProcess(
            pid,
            stat.started if stat else 0.0,
            mark=spec.mark(),
            memory_mb=spec.memory_mb,
            log=spec.log,
        )
        self._watch.add(process)
        return process

    def adopt(
        self, pid: int, create_time: float, *, memory_mb: int | None = None, log: Path | None = None
    ) -> RunningProcess | None:
        """Return the process of an earlier daemon; None if it ended or the pid was reused."""
        process = _open(pid, create_time, memory_mb=memory_mb, log=log)
        if process is not None:
            self._watch.add(process)
        return process


def free_address(ports: Sequence[int]) -> str:
    """Return a loopback address (Linux serves all of 127/8) on which every port is free.

    Raises:
        NoAddressError: None was found, because another program listens on all addresses.
    """
    for _ in range(_ADDRESS_TRIES):
        address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"  # noqa: S311 - for distribution, not for security
        if all(_is_free(address, port) for port in ports):
            return address
    wanted = ", ".join(str(port) for port in ports)
    raise NoAddressError(
        f"No loopback address has port {wanted} free.",
        advice="Another program listens on that port on every address. End it and try again.",
    )


def _is_free(address: str, port: int) -> bool:
    """Return whether a port is free; one with connections in TIME_WAIT counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def _prepare(spec: ProcessSpec) -> None:
    """Create an empty root file system, and rotate a large log."""
    for folder in (spec.scratch / "home", spec.scratch / "tmp"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if spec.log.stat().st_size > _LOG_BYTES:
            spec.log.replace(spec.log.with_name(f"{spec.log.name}.1"))


def _spawn(spec: ProcessSpec) -> int:
    """Run the command in its own session; the pid is watched by pidfd from here on."""
    try:
        with spec.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - runs the machine's command
                spec.command(),
                cwd=spec.image.folder,
                env=spec.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        raise SpawnError(
            f"Machine {spec.machine_id} cannot run {spec.command()[0]!r}: {error}.",
            advice="Check the machine's init and the image's command.",
        ) from error
    child.returncode = 0  # keeps Popen from waiting or warning: RunningProcess reaps it
    return child.pid


def _open(
    pid: int, create_time: float, *, memory_mb: int | None, log: Path | None
) -> RunningProcess | None:
    """Open a process by pid first, then verify that it is the expected one."""
    try:
        mark = procfs.variable(pid, MARK.encode())
        process = RunningProcess(pid, create_time, mark=mark, memory_mb=memory_mb, log=log)
    except (ProcessLookupError, OSError):
        return None
    stat = procfs.read_stat(pid)
    if stat is None or not stat.alive or stat.started != create_time:
        process.release()
        return None
    return process
