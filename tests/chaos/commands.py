"""Command lines of Roost, each a process that can be killed."""

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
class Ended:
    """How a command ended: its exit code, or minus the signal; and all it said."""

    code: int
    said: str

    @property
    def last(self) -> str:
        """The last thing it said."""
        return (self.said.strip().splitlines() or [""])[-1]

    @property
    def killed(self) -> bool:
        """Whether it was killed."""
        return self.code == -signal.SIGKILL


class Commands:
    """Runs command lines, one at a time, each in a process of its own.

    Args:
        environ: what each is given.
        log: where what it says is kept meanwhile.
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
        """How the latest command ended, in a line, for whoever tells of something that went wrong."""
        self._zygote = subprocess.Popen(
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
        cast(IO[str], self._zygote.stdin).close()
        self._zygote.wait()
        cast(IO[str], self._zygote.stdout).close()

    def begin(self, *argv: str, **environ: str) -> None:
        """Start a command."""
        self._began = argv
        self._log.unlink(missing_ok=True)  # never what an earlier one said
        given = {"environ": {**self._environ, **environ}, "clocks": self.clocks}
        line = {"argv": argv, "log": str(self._log), **given}
        print(json.dumps(line), file=self._zygote.stdin)
        self._process = self._answer()

    def kill(self) -> None:
        """End the command as a lost machine does, if it runs."""
        if self._process:
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)

    def finish(self) -> Ended:
        """Wait for its end; one that never ends is killed, and is said to have hung."""
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
        ended = Ended(HUNG if hung.is_set() else code, said)
        self.latest = f"`{' '.join(self._began)}` ended with {ended.code}: {ended.last}"
        return ended

    def clear(self) -> None:
        """End what runs still, if something does."""
        if self._process:
            self.kill()
            self.finish()

    def _answer(self) -> int:
        """Read what the zygote tells.

        Raises:
            ChildProcessError: it has ended, and nothing can be run any more.
        """
        told = cast(IO[str], self._zygote.stdout).readline()
        if not told:
            raise ChildProcessError(f"the zygote has ended with {self._zygote.poll()}")
        return int(told)
