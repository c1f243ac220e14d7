"""The command line in this process, with a folder of its own and without the user's variables."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from helpers.local_daemon import SCRIPTS
from helpers.roost_command import FOREIGN
from roost.cli.process import main
from roost.operations.context import Clients


@dataclass
class Said:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


@dataclass
class ClientsOfTest:
    """The clients that commands of one test get: the real ones, but for those it replaces."""

    made: Clients = field(default_factory=Clients)

    def use(self, **factories: Any) -> None:
        """Replace some clients, from the next command on."""
        self.made = replace(self.made, **factories)


class RoostHere:
    """Runs command lines; the environment files are those in `folder`."""

    def __init__(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        patch: pytest.MonkeyPatch,
        clients: ClientsOfTest | None = None,
    ) -> None:
        self._capsys = capsys
        self._clients = clients or ClientsOfTest()
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        patch.setenv("ROOST_ENVIRONMENTS", str(folder))
        patch.setenv("LOCALFLY_HOME", str(folder / "localfly"))
        patch.setenv("PYTHONPATH", str(SCRIPTS))

    def __call__(self, *arguments: object) -> Said:
        """Run one command line."""
        with _signals_put_back():
            code = main([str(argument) for argument in arguments], self._clients.made)
        out, err = self._capsys.readouterr()
        return Said(code, out, err)


@contextmanager
def _signals_put_back() -> Iterator[None]:
    """Restore the signal handlers that `main` replaces, for the tests that follow."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
