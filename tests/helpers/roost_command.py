"""Roost's command line as a process of its own, with files and a local Fly of a test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from helpers.environments import environment_data
from helpers.local_daemon import SCRIPTS
from helpers.waiting import LIMIT_S

# What would reach the command from the computer it runs on, and is not the test's own.
# A call is given up after 30 s, in which a busy computer does not run another command to its end.
PATIENT = f"""
import sys
from roost.fly import client, transport
transport.TIMEOUT_S = transport.ANSWER_S = {LIMIT_S}
client.FlyClient.__init__.__kwdefaults__["deadline_s"] = {LIMIT_S}
from roost.cli.process import main
sys.exit(main(sys.argv[1:]))
"""
FOREIGN = ("FLY_", "LOCALFLY_", "PREFECT_", "ROOST_", "COLUMNS")


class RoostCommand:
    """The command line in a folder of its own.

    Args:
        folder: where the environment files and the state of the local Fly are.
        cache: where images are built, shared with others.
        environ: environment variables of every command.
    """

    def __init__(self, folder: Path, cache: Path, **environ: str) -> None:
        self.home = folder / "localfly"
        self.environments = folder / "environments"
        self.environments.mkdir(parents=True, exist_ok=True)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        self.env = {
            **inherited,
            "LOCALFLY_HOME": str(self.home),
            "LOCALFLY_CACHE": str(cache),
            "ROOST_ENVIRONMENTS": str(self.environments),
            "PYTHONPATH": str(SCRIPTS),
            **environ,
        }

    def write(self, name: str, *parts, **fields) -> Path:
        """Write an environment file, as `environment_data` describes it."""
        path = self.environments / f"{name}.yaml"
        path.write_text(yaml.safe_dump(environment_data(*parts, **fields), sort_keys=False))
        return path

    def begin(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command without waiting for its end."""
        return self._begin(["-m", "roost", *arguments], environ)

    def begin_patiently(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command that waits for answers that a test delays, instead of repeating the call."""
        return self._begin(["-c", PATIENT, *arguments], environ)

    def _begin(self, program: list[str], environ: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *program],
            env={**self.env, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, expect: int = 0, limit_s: float = LIMIT_S, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; check its exit code, and that a failure is a sentence."""
        done = finish(self.begin(*arguments, **environ), limit_s)
        assert done.returncode == expect, (arguments, done.returncode, done.stderr)
        assert not shows_traceback(done.stderr), done.stderr
        return done

    def json(self, *arguments: str, expect: int = 0, **environ: Any) -> Any:
        """Run a command with --json, and return what it printed."""
        return json.loads(self.run(*arguments, "--json", expect=expect, **environ).stdout)


def shows_traceback(said: str) -> bool:
    """Return whether a command ended in a traceback of its own, not one in a log that it quotes."""
    return any("Traceback" in line for line in said.splitlines() if not line.startswith("  | "))


def finish(
    process: subprocess.Popen[str], limit_s: float = LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """Wait for a command's end and return its output; kill it at the limit."""
    try:
        out, err = process.communicate(timeout=limit_s)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
