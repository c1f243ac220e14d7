"""Time commands from outside, as a user at a terminal does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from bench.errors import BenchError
from bench.lab import Lab

LIMIT_S = 300
ROOST = (sys.executable, "-m", "roost")


def timed(argv: Sequence[str], env: Mapping[str, str]) -> float:
    """Run a command and return its duration in seconds.

    Raises:
        BenchError: it failed; has its output.
    """
    began = time.monotonic()
    done = subprocess.run(
        argv,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    took = time.monotonic() - began
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)}: code {done.returncode}: {done.stderr.decode()}")
    return took


def roost_environ(lab: Lab, **extra: str) -> dict[str, str]:
    """Return the environment for `python -m roost`, with a bytecode cache."""
    # Some file systems prevent its creation; a user's machine has it after the first command.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        "PYTHONPATH": str(lab.project / "scripts"),
        "PYTHONPYCACHEPREFIX": str(lab.scratch / "bytecode"),
        **extra,
    }
