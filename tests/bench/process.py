"""Start, query, measure and end the processes that are benchmarked."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.client import wait_well
from bench.errors import BenchError

START_LIMIT_S = 150
STOP_LIMIT_S = 5
HEALTH = "/api/health"


@dataclass(frozen=True)
class Program:
    """A server to start, and its address."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    url: str


@dataclass(frozen=True)
class Running:
    """A started program; `began` is the time just before its start (monotonic)."""

    program: Program
    process: subprocess.Popen[bytes]
    began: float

    def wait_healthy(self) -> float:
        """Wait for the first successful health check; return the seconds since the start.

        Raises:
            BenchError: it did not answer in time; carries the end of its log.
        """
        answered = wait_well(self.program.url, HEALTH, START_LIMIT_S)
        if answered is None:
            said = self.program.log.read_text("utf-8", "replace")[-2000:]
            raise BenchError(f"{self.program.argv} is not healthy after {START_LIMIT_S} s: {said}")
        return answered - self.began

    def resident_mb(self) -> float:
        """Return the resident memory of the whole process tree, in MB of 2**20 bytes."""
        root = psutil.Process(self.process.pid)
        total = 0
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 2**20


@contextlib.contextmanager
def running(program: Program) -> Iterator[Running]:
    """Start a program, and end it and its descendants in any case."""
    with program.log.open("ab") as log:
        began = time.monotonic()
        # In its own session, so that Ctrl-C does not reach it and the group can be killed.
        process = subprocess.Popen(
            program.argv,
            env=dict(program.env),
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Running(program, process, began)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Signal a process to end, then kill its whole group."""
    try:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
