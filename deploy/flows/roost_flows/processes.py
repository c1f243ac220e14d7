"""Find the processes of this start, and the flow runs that they execute.

A process is recognized by a variable that it inherited from the launcher. Parents do not help: a
process whose parent ended belongs to the machine's init.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from roost_flows.settings import BOOT_VARIABLE

PROC = Path("/proc")
# Set by Prefect's runner and its workers for the process of a flow run (3.8.8, 3.9.1).
RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
_ZOMBIE = (b"Z", b"X")
# After this time no poll from before a drain can still turn into a flow run's process.
SETTLE_S = 1.5


class Running(Protocol):
    """The processes of this start."""

    def flow_runs(self) -> frozenset[str]:
        """Return the ids of the flow runs that have a process."""
        ...

    def kill(self) -> None:
        """Kill all of them."""
        ...


@dataclass(frozen=True)
class Processes:
    """The processes of one start, read from /proc."""

    boot: str
    proc: Path = PROC

    def pids(self) -> list[int]:
        """Return the ids of the live processes that the launcher started, directly or not."""
        return [pid for pid, _ in self._found()]

    def flow_runs(self) -> frozenset[str]:
        """Return the ids of the flow runs that have a process."""
        return frozenset(run for _, run in self._found() if run)

    def kill(self) -> None:
        """Kill all of them."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _found(self) -> Iterator[tuple[int, str]]:
        """Return each process with its flow run's id, or with an empty text."""
        mine = f"{BOOT_VARIABLE}={self.boot}".encode()
        for folder in self.proc.iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
                if mine not in variables or not _is_alive(folder):
                    continue
            except OSError:  # it ended meanwhile, or belongs to somebody else
                continue
            yield int(folder.name), _value(variables, RUN_VARIABLE.encode())


def _is_alive(folder: Path) -> bool:
    """Return whether a process has not ended; the state follows the name, which may hold anything."""
    after_name = (folder / "stat").read_bytes().rpartition(b")")[2]
    return after_name.split()[0] not in _ZOMBIE


def _value(variables: list[bytes], name: bytes) -> str:
    for variable in variables:
        key, _, value = variable.partition(b"=")
        if key == name:
            return value.decode("ascii", "replace")
    return ""
