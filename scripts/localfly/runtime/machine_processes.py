"""Machines as processes of this computer: started, watched for memory, and found again.

A machine outlives the daemon on purpose (it leads a session of its own and is not tied to its
parent's death), so that a killed daemon finds it again by pid and start time.
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
from localfly.runtime.path_mapping import Root
from localfly.runtime.process import Exit, ProcessInfo, RunningProcess

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
    """All that a machine's process is made from.

    Attributes:
        machine_id: Names the machine in messages.
        image: What it runs.
        argv: Its command, or None for the image's own.
        env: The machine's environment, secrets included; values are rewritten (see rewrite.py).
        address: Its own loopback address, from `free_address`.
        mounts: From a mount path in the machine to the volume's folder here.
        log: The file that gets its standard output and error, appended.
        memory_mb: The memory it may use before it is killed.
        scratch: The folder of its root file system; its `home` and `tmp` are emptied at each start.
        socket: The machine-local API socket, `/.fly/api` in the machine's own terms.
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

    def root(self) -> Root:
        """Report where the places of the machine's world are."""
        paths = {path: str(folder) for path, folder in self.mounts.items()}
        return Root(
            paths={"/tmp": str(self.scratch / "tmp"), "/.fly/api": str(self.socket), **paths},  # noqa: S108 - the machine's /tmp, not ours
            address=self.address,
        )

    def command(self) -> list[str]:
        """Tell the command to run, in this world's paths."""
        root = self.root()
        return [root.rewrite(part) for part in (self.argv or self.image.command)]

    def environment(self) -> dict[str, str]:
        """Tell the whole environment; nothing of the daemon's own leaks in.

        The image's variables come first, then the machine's, as in a container.
        """
        asked = {"FLY_API_SOCKET": "/.fly/api", **self.image.env, **self.env}
        return {
            "PATH": f"{self.image.bin}:{_SYSTEM_PATH}",
            "HOME": str(self.scratch / "home"),
            "TMPDIR": str(self.scratch / "tmp"),
            "LANG": "C.UTF-8",
            **self.root().rewrite_all(asked),
            "IMAGE_ROOT": str(self.image.folder),
        }


class Runtime:
    """Starts and adopts machines' processes, and keeps each within its memory.

    Needs a running event loop from its first machine on.
    """

    def __init__(self) -> None:
        self._watch = MemoryWatch()

    async def aclose(self) -> None:
        """Stop watching. The machines run on, for the next daemon to adopt."""
        await self._watch.aclose()

    async def start(self, spec: ProcessSpec) -> RunningProcess:
        """Start a machine's process on a fresh root.

        Raises:
            SpawnError: The command does not exist or may not be run.
        """
        await asyncio.to_thread(_prepare, spec)
        pid = _spawn(spec)
        stat = procfs.read_stat(pid)
        process = RunningProcess(
            pid, stat.started if stat else 0.0, memory_mb=spec.memory_mb, log=spec.log
        )
        self._watch.add(process)
        return process

    def adopt(
        self, pid: int, create_time: float, *, memory_mb: int | None = None, log: Path | None = None
    ) -> RunningProcess | None:
        """Find a process that an earlier daemon started; None when it is gone or another's."""
        process = _open(pid, create_time, memory_mb=memory_mb, log=log)
        if process is not None:
            self._watch.add(process)
        return process


def free_address(ports: Sequence[int]) -> str:
    """Choose a loopback address (Linux serves all of 127/8) on which every port is free.

    Raises:
        NoAddressError: None was found; something else listens on such a port on all addresses.
    """
    for _ in range(_ADDRESS_TRIES):
        address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"  # noqa: S311 - spreads, protects nothing
        if all(_is_free(address, port) for port in ports):
            return address
    wanted = ", ".join(str(port) for port in ports)
    raise NoAddressError(
        f"No loopback address has port {wanted} free.",
        advice="Another program listens on that port on every address. End it and try again.",
    )


def _is_free(address: str, port: int) -> bool:
    """Try to listen there. A port whose last connections still fade away counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def _prepare(spec: ProcessSpec) -> None:
    """Give the machine an empty root of its own and a log that is not endless."""
    for folder in (spec.scratch / "home", spec.scratch / "tmp"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if spec.log.stat().st_size > _LOG_BYTES:
            spec.log.replace(spec.log.with_name(f"{spec.log.name}.1"))


def _spawn(spec: ProcessSpec) -> int:
    """Run the command in a session of its own; the pid is watched by pidfd from here on."""
    try:
        with spec.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - running what the machine asks for is the task
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
    child.returncode = 0  # Popen shall neither wait for it nor complain: RunningProcess reaps
    return child.pid


def _open(
    pid: int, create_time: float, *, memory_mb: int | None, log: Path | None
) -> RunningProcess | None:
    """Take hold of a process first, then make sure that it is the one meant."""
    try:
        process = RunningProcess(pid, create_time, memory_mb=memory_mb, log=log)
    except (ProcessLookupError, OSError):
        return None
    stat = procfs.read_stat(pid)
    if stat is None or not stat.alive or stat.started != create_time:
        process.release()
        return None
    return process
