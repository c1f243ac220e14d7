"""Enforce the memory limits of machines, as the kernel of a Fly machine does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

from localfly.runtime import procfs

if TYPE_CHECKING:
    from localfly.runtime.process import RunningProcess

_INTERVAL_S = 0.25
_TICKS_PER_SCAN = 4
_MB = 1024 * 1024
_STEP = _MB  # the growth that triggers an exact measurement


class MemoryWatch:
    """Measures the memory of all machines four times a second, and finds processes once a second.

    Listing processes costs milliseconds; reading the memory of a known one costs almost nothing.
    """

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._groups: dict[RunningProcess, list[int]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, process: RunningProcess) -> None:
        """Watch a machine until it ends."""
        self._groups[process] = [process.pid]
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Stop watching; the machines continue to run."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for process in self._groups:
            process.release()
        self._groups.clear()

    async def _run(self) -> None:
        for tick in itertools.count():
            await asyncio.sleep(self._interval_s)
            self._groups = {p: pids for p, pids in self._groups.items() if p.running}
            if tick % _TICKS_PER_SCAN == 0:
                self._scan()
            for process, pids in self._groups.items():
                _look(process, pids)

    def _scan(self) -> None:
        """Find the processes of each machine, without frozen ones, as their memory cannot grow."""
        stats = procfs.read_all() if self._groups else []
        for process in self._groups:
            group = procfs.members(process.pid, stats)
            self._groups[process] = [stat.pid for stat in group if not stat.frozen]


def _look(process: RunningProcess, pids: list[int]) -> None:
    """Record a machine's peak memory, and kill it above its limit.

    The exact figure is expensive, so it is read only near the limit and at a new peak.
    """
    limit = (process.memory_mb or 0) * _MB
    resident = sum(map(procfs.resident_bytes, pids))
    over = bool(limit) and resident > limit
    if not over and resident < process.resident_high + _STEP:
        return
    process.resident_high = max(resident, process.resident_high)
    used = sum(map(procfs.proportional_bytes, pids))
    process.peak_bytes = max(used, process.peak_bytes)
    if limit and used > limit:
        process.kill_for_memory(used)
