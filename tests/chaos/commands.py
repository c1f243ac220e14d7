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
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "chaos.zygote"],
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
        self.kill()
        cast(IO[str], self._zygote.stdin).close()
        self._zygote.wait()
        cast(IO[str], self._zygote.stdout).close()

    def begin(self, *argv: str, **environ: str) -> None:
        """Start a command."""
        line = {"argv": argv, "environ": {**self._environ, **environ}, "log": str(self._log)}
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

        timer = threading.Timer(LIMIT_S, give_up)
        timer.start()
        code = self._answer()
        timer.cancel()
        self._process = 0
        said = self._log.read_text("utf-8", "replace") if self._log.exists() else ""
        return Ended(HUNG if hung.is_set() else code, said)

    def _answer(self) -> int:
        return int(cast(IO[str], self._zygote.stdout).readline())
