"""The sessions of `noxfile.py` without nox, which the tests' environment has not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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
    """A session that runs its commands; `said` has what they printed."""

    said = ""

    def run(self, *words: str, env: dict[str, str | None] | None = None, **_: Any) -> None:
        """Run a command with the variables of this process and those of the session."""
        own = {name: value for name, value in (env or {}).items() if value is not None}
        words = (sys.executable, *words[1:]) if words[0] == "python" else words
        done = subprocess.run(
            words, env={**os.environ, **own}, capture_output=True, text=True, check=False
        )
        self.said += done.stdout + done.stderr
        self.ran.append(words)
        if done.returncode:
            raise CommandFailed(f"{words} ended with {done.returncode}: {done.stderr}")


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
