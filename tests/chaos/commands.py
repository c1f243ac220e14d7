"""Run command lines of Roost, each in a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

LIMIT_S = 180.0
HUNG = -1000


@dataclass(frozen=True)
class CommandResult:
    """The result of a command: its exit code, or the negative signal; and its output."""

    code: int
    output: str

    @property
    def last(self) -> str:
        """The last line of its output."""
        return (self.output.strip().splitlines() or [""])[-1]

    @property
    def killed(self) -> bool:
        """Whether the command was killed."""
        return self.code == -signal.SIGKILL


class Commands:
    """Runs command lines one after the other, each in its own process.

    Args:
        environ: the environment of each command.
        log: the file for the output.
    """

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self._environ = dict(environ)
        self._log = log
        self._process = 0
        self._began: tuple[str, ...] = ()
        self.limit_s = LIMIT_S
        """What runs longer hangs."""
        self.clocks: dict[str, float] = {}
        """What the commands' own patience is cut to; empty leaves it as it is."""
        self.latest = "no command was run yet"
        """The end of the latest command in one line, for reports of errors."""
        self._forker = subprocess.Popen(
            [sys.executable, "-m", "chaos.preforked_commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ChildProcessError):
            self.clear()
        cast(IO[str], self._forker.stdin).close()
        self._forker.wait()
        cast(IO[str], self._forker.stdout).close()

    def begin(self, *argv: str, **environ: str) -> None:
        """Start a command."""
        self._began = argv
        self._log.unlink(missing_ok=True)  # never what an earlier one said
        given = {"environ": {**self._environ, **environ}, "clocks": self.clocks}
        line = {"argv": argv, "log": str(self._log), **given}
        print(json.dumps(line), file=self._forker.stdin)
        self._process = self._answer()

    def kill(self) -> None:
        """Kill the running command, as the loss of its machine would."""
        if self._process:
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)

    def finish(self) -> CommandResult:
        """Wait for the command to end; after the limit it is killed and reported as hung."""
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            self.kill()

        timer = threading.Timer(self.limit_s, give_up)
        timer.start()
        try:
            code = self._answer()
        finally:
            timer.cancel()
            self._process = 0
        said = self._log.read_text("utf-8", "replace") if self._log.exists() else ""
        ended = CommandResult(HUNG if hung.is_set() else code, said)
        self.latest = f"`{' '.join(self._began)}` ended with {ended.code}: {ended.last}"
        return ended

    def clear(self) -> None:
        """Kill the command if it still runs."""
        if self._process:
            self.kill()
            self.finish()

    def _answer(self) -> int:
        """Read a line from the process that forks the commands.

        Raises:
            ChildProcessError: that process has ended.
        """
        told = cast(IO[str], self._forker.stdout).readline()
        if not told:
            raise ChildProcessError(f"the forking process has ended with {self._forker.poll()}")
        return int(told)
