"""End a process with everything that it started, also what leads a session of its own.

Prefect's runner starts each flow run in a session of its own, so a signal to the runner's group leaves it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def end_tree(process: subprocess.Popen[bytes], variable: str) -> None:
    """Kill a process, and all that inherited a variable from it, until none is left.

    Args:
        process: the process.
        variable: a `NAME=value` of its environment that no other process of this computer has.
    """
    while pids := [
        *_live_with(variable.encode()),
        *([process.pid] if process.poll() is None else []),
    ]:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _live_with(variable: bytes) -> list[int]:
    """Return the processes whose environment has a variable, and that did not end."""
    found = []
    for folder in PROC.iterdir():
        with suppress(OSError, IndexError, ValueError):
            pid = int(folder.name)
            if variable not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
            found += [pid] if state not in (b"Z", b"X") else []
    return found
