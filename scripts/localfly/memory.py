"""Keeps every machine within the memory it has, as a Fly machine's kernel does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from localfly import procfs

if TYPE_CHECKING:
    from localfly.process import RunningProcess

_INTERVAL_S = 0.25
_MB = 1024 * 1024


class MemoryWatch:
    """Looks at the memory of all machines a few times a second, in one cheap pass."""

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._processes: set[RunningProcess] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, process: RunningProcess) -> None:
        """Watch one more machine, until it ends."""
        self._processes.add(process)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Stop watching; the machines run on."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for process in self._processes:
            process.release()
        self._processes.clear()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self._processes = {process for process in self._processes if process.running}
            if any(process.memory_mb for process in self._processes):
                self._look(procfs.read_all())

    def _look(self, stats: list[procfs.Stat]) -> None:
        """End each machine that uses more than it has."""
        for process in self._processes:
            limit = (process.memory_mb or 0) * _MB
            used = _used_bytes(process.pid, stats, limit)
            if limit and used > limit:
                process.kill_for_memory(used)


def _used_bytes(leader: int, stats: list[procfs.Stat], limit: int) -> int:
    """Count a group's memory. The exact figure is dear, so it is asked for only near the limit."""
    pids = [stat.pid for stat in procfs.members(leader, stats) if not stat.frozen]
    resident = sum(procfs.resident_bytes(pid) for pid in pids)
    if resident <= limit:
        return resident
    return sum(procfs.proportional_bytes(pid) for pid in pids)
