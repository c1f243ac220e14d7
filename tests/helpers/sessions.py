"""The sessions of `noxfile.py` without nox, which the tests' environment has not."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from roost.cli import server_lock
from roost.errors import RoostError

ROOT = Path(__file__).parents[2]


class RefusedError(Exception):
    """The session ended with a message for a person."""


class CommandFailed(Exception):  # noqa: N818 - nox calls it so
    """A command of the session ended with another code than 0."""


class Session:
    """A session of nox that runs nothing: it records the commands."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder, self.posargs = folder, list(words)
        self.ran: list[tuple[str, ...]] = []

    def run(self, *words: str, **_: Any) -> None:
        """Record a command."""
        self.ran.append(words)

    def run_install(self, *words: str, **_: Any) -> None:
        """Install nothing."""

    def error(self, text: str) -> None:
        """End the session."""
        raise RefusedError(text)

    def log(self, _: str) -> None:
        """Write nothing."""

    def create_tmp(self) -> str:
        """Return a scratch folder."""
        return str(self.folder)


class RunningSession(Session):
    """A session that runs its commands; `said` has what they printed.

    Roost's own step is called in this process: a process for each would cost more than the step.
    """

    said = ""

    def run(self, *words: str, **_: Any) -> None:
        """Run a command.

        Raises:
            CommandFailed: it ended with an error.
        """
        self.ran.append(words)
        if words[:3] == ("python", "-m", server_lock.__name__):
            self._step(*words[3:])
            return
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        self.said += done.stdout + done.stderr
        if done.returncode:
            raise CommandFailed(done.stderr)

    def _step(self, step: Any, name: str, folder: str, *options: str) -> None:
        out = io.StringIO()
        try:
            with redirect_stdout(out):
                server_lock.main(step, name, Path(folder), upgrade="--upgrade" in options)
        except RoostError as error:
            faults = getattr(error, "faults", ())
            raise CommandFailed(" ".join(map(str, (*faults, error)))) from error
        self.said += out.getvalue()


def load_noxfile() -> ModuleType:
    """Return the module with the sessions."""
    nox, command = ModuleType("nox"), ModuleType("nox.command")
    nox.session, nox.Session = lambda function: function, Session  # type: ignore[attr-defined] # a stand-in
    nox.options, nox.needs_version = type("Options", (), {})(), ""  # type: ignore[attr-defined] # a stand-in
    command.CommandFailed = CommandFailed  # type: ignore[attr-defined] # a stand-in
    sys.modules |= {"nox": nox, "nox.command": command}
    try:
        spec = importlib.util.spec_from_file_location("noxfile_of_the_test", ROOT / "noxfile.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(ROOT / "noxfile.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        del sys.modules["nox"], sys.modules["nox.command"]
    return module
