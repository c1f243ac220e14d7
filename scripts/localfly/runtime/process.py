"""Watch, freeze, signal and end one machine's process group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from localfly.runtime import procfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MB = 1024 * 1024
_LEFTOVERS_S = 2.0  # how long an exit waits for killed descendants to vanish
MARK = "LOCALFLY_MACHINE"
"""The variable that the processes of one machine have, and no other, with this value."""
_EMPTY_LOOKS = 2  # how often in a row nothing is found of a machine before it has ended
_SCANS = 5  # repeated, because the group may fork while it is signalled


@dataclass(frozen=True)
class Exit:
    """How a machine's main process ended.

    Both numbers are None for an adopted process: only a parent learns how its child ended.
    """

    exit_code: int | None = None
    signal: int | None = None
    oom_killed: bool = False


@dataclass(frozen=True)
class ProcessInfo:
    """One process of a machine for `ps`. Times are in seconds, `rss` is in bytes."""

    pid: int
    command: str
    directory: str
    cpu_s: float
    age_s: float
    rss: int
    listening: tuple[tuple[str, str], ...]
    """Protocol and address of each socket it listens on: ("tcp", "127.64.0.9:4200")."""


class RunningProcess:
    """A machine's main process and all its descendants.

    Args:
        pid: The main process, which leads its own session.
        create_time: Seconds from the computer's boot to its start. With the pid it names one
            process uniquely, since pids are reused.
        mark: `LOCALFLY_MACHINE=value` as the environment of its processes has it; b"" for none.
        memory_mb: The memory limit of the group, or None for none.
        log: The file for a message when the limit is exceeded.
    """

    def __init__(
        self,
        pid: int,
        create_time: float,
        *,
        mark: bytes,
        memory_mb: int | None = None,
        log: Path | None = None,
    ) -> None:
        self.pid = pid
        self.create_time = create_time
        self.memory_mb = memory_mb
        self._log = log
        self.peak_bytes = 0
        """The highest measured memory, in bytes."""
        self.resident_high = 0
        """The highest memory with shared pages counted fully; more triggers an exact reading."""
        self._oom_killed = False
        self._mark = mark
        self._pidfd = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[Exit] = self._loop.create_future()
        self._finishing: asyncio.Task[None] | None = None
        self._loop.add_reader(self._pidfd, self._on_exit)

    def __repr__(self) -> str:
        """Return the class and the pid."""
        return f"RunningProcess(pid={self.pid})"

    @property
    def running(self) -> bool:
        """Whether its exit has not been seen yet."""
        return not self._exit.done()

    @property
    def ending(self) -> bool:
        """Whether the main process has ended, and the others are ended with it."""
        return self._finishing is not None

    @property
    def suspended(self) -> bool:
        """Whether the main process is frozen."""
        stat = procfs.read_stat(self.pid)
        return stat is not None and stat.frozen

    async def wait(self) -> Exit:
        """Wait for the exit of the main process; its descendants are gone by then."""
        return await asyncio.shield(self._exit)

    def send_signal(self, signal: int) -> None:
        """Send a signal to the main process, as the init of a Fly machine does."""
        with contextlib.suppress(ProcessLookupError, OSError):
            signals.pidfd_send_signal(self._pidfd, signal)

    def suspend(self) -> None:
        """Freeze the whole group; its memory and sockets stay."""
        self._signal_group(signals.SIGSTOP, done=lambda stat: stat.frozen)

    def resume(self) -> None:
        """Continue a frozen group. The main process comes last, so that no child misses the signal.

        Running processes get the signal, too, because they may be about to freeze.
        """
        self._signal_group(signals.SIGCONT, done=lambda _: False)

    async def frozen(self, limit_s: float = 1.0) -> bool:
        """Wait until the whole group is frozen, a moment after the signal; return whether it is."""
        deadline = self._loop.time() + limit_s
        while not (done := all(stat.frozen for stat in self.members())):
            if self._loop.time() > deadline:
                break
            await asyncio.sleep(0.001)
        return done

    def kill(self) -> None:
        """Kill the whole group."""
        self._signal_group(signals.SIGKILL, done=lambda stat: not stat.alive)

    def kill_for_memory(self, used_bytes: int) -> None:
        """Kill the group as the kernel of a Fly machine does when memory runs out."""
        self._oom_killed = True
        self.kill()
        if self._log is not None:
            line = (
                f"Out of memory: killed process {self.pid}, "
                f"{used_bytes // _MB} MB in use of {self.memory_mb} MB.\n"
            )
            with self._log.open("a", encoding="utf-8") as log:
                log.write(line)

    async def stop(self, signal: int, timeout_s: float) -> Exit:
        """Signal the main process to end, then kill the group; a frozen one is killed at once.

        Fly drops the memory of a suspended machine that is stopped: its process never runs again.
        """
        if self.suspended:
            self.kill()
        else:
            self.send_signal(signal)
        try:
            return await asyncio.wait_for(self.wait(), timeout_s)
        except TimeoutError:
            self.kill()
            return await self.wait()

    def members(self) -> list[procfs.Stat]:
        """Return the live processes of the group."""
        return procfs.members(self.pid, procfs.read_all())

    def memory_bytes(self) -> int:
        """Return the memory of the group in bytes, with shared pages counted once."""
        return sum(procfs.proportional_bytes(stat.pid) for stat in self.members())

    def processes(self) -> list[ProcessInfo]:
        """Return the processes of the group, the main one first."""
        infos = (_describe(stat.pid) for stat in self.members())
        return sorted((i for i in infos if i is not None), key=lambda i: (i.pid != self.pid, i.pid))

    def release(self) -> None:
        """Stop watching, and leave the process running for another daemon."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _signal_group(self, signal: int, *, done: Callable[[procfs.Stat], bool]) -> None:
        """Signal each member once, including those that join meanwhile."""
        seen: set[int] = set()
        for _ in range(_SCANS):
            targets = [s.pid for s in self.members() if s.pid not in seen and not done(s)]
            if not targets:
                return
            for pid in sorted(targets, key=lambda pid: pid == self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal)
            seen.update(targets)

    def _on_exit(self) -> None:
        """Handle the exit of the main process, when the pidfd becomes readable."""
        ended = _reap(self._pidfd)
        self.release()
        result = Exit(ended.exit_code, ended.signal, self._oom_killed)
        self._finishing = self._loop.create_task(self._finish(result))

    async def _finish(self, result: Exit) -> None:
        """Kill the descendants of the main process, as a machine ends with its main process.

        One that leads a session of its own and whose parent ended is known by its environment alone.
        Linux shows none for a moment while a process starts its program, so that a single look may
        miss it.
        """
        deadline = self._loop.time() + _LEFTOVERS_S
        empty_looks = 0
        while empty_looks < _EMPTY_LOOKS and self._loop.time() < deadline:
            rest = self._rest()
            empty_looks = 0 if rest else empty_looks + 1
            for pid in rest:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signals.SIGKILL)
            await asyncio.sleep(0.01)
        if not self._exit.done():
            self._exit.set_result(result)

    def _rest(self) -> set[int]:
        """Return the processes that are left of the machine."""
        return {stat.pid for stat in self.members()} | set(procfs.with_variable(self._mark))


def _reap(pidfd: int) -> Exit:
    """Return a child's exit status; it is unknown for another process's child."""
    try:
        status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return Exit()
    if status is None:
        return Exit()
    if status.si_code == os.CLD_EXITED:
        return Exit(exit_code=status.si_status)
    return Exit(signal=status.si_status)


def _describe(pid: int) -> ProcessInfo | None:
    """Return psutil's description of one process; None if it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return ProcessInfo(
                pid=pid,
                command=" ".join(process.cmdline()),
                directory=process.cwd(),
                cpu_s=times.user + times.system,
                age_s=max(0.0, time.time() - process.create_time()),
                rss=process.memory_info().rss,
                listening=_listening(process),
            )
    except psutil.Error:
        return None


def _listening(process: psutil.Process) -> tuple[tuple[str, str], ...]:
    """Return the TCP sockets that a process listens on."""
    return tuple(
        ("tcp", f"{connection.laddr.ip}:{connection.laddr.port}")
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    )
