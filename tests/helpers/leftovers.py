"""What a run of the tests started and left running: it fails the run.

Each process that a test starts inherits a variable with the run's own value, unless the test gives it an
environment without it.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator

import psutil

VARIABLE = "PYTEST_ROOST_RUN"
PATIENCE_S = 10.0
"""So long a process may take to end after the tests."""
_LOOK_S = 0.1


def mark_run() -> str:
    """Set the variable, but for a worker, which has it from the process that started it; return its value."""
    return os.environ.setdefault(VARIABLE, uuid.uuid4().hex)


def kill_leftovers(run: str, patience_s: float = PATIENCE_S) -> list[str]:
    """Wait until no process of a run is left, but this one; kill what stays, and return what it was.

    Args:
        run: the value of the variable.
        patience_s: how long to wait, in seconds.
    """
    ends = time.monotonic() + patience_s
    while (left := list(_processes(run))) and time.monotonic() < ends:
        time.sleep(_LOOK_S)
    found = []
    for process in left:
        with contextlib.suppress(psutil.Error):
            test = process.environ().get("PYTEST_CURRENT_TEST", "a fixture or the collection")
            found.append(f"{' '.join(process.cmdline())[:200]}\n    of {test}")
            process.kill()
    return found


def _processes(run: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            is_ours = process.pid != os.getpid() and process.environ().get(VARIABLE) == run
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                yield process
