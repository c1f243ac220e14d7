"""The trial: boot an image on empty and used volumes, run the smoke test, stop it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from image.buildah import Buildah
from image.machine import Machine, Served, run_argv, served
from roost.environment.model import AUTH_SECRET


@dataclass
class Findings:
    """The measurements in seconds, and the faults."""

    empty_s: list[float] = field(default_factory=list)
    used_s: list[float] = field(default_factory=list)
    stop_s: list[float] = field(default_factory=list)
    smoked: bool = False
    faults: dict[str, None] = field(default_factory=dict)
    """An ordered set: what is wrong at every boot is told once."""

    def blame(self, fault: str) -> None:
        """Record a fault."""
        self.faults[fault] = None


@dataclass(frozen=True)
class Trial:
    """The trial of an image in a container, with its limits."""

    buildah: Buildah
    container: str
    command: Sequence[str]
    machine: Machine
    version: str
    user_id: int | None
    scratch: Path
    tell: Callable[[str], None]

    def run(self, rounds: int) -> Findings:
        """Boot the image twice in each round: on an empty volume, and again on the same one.

        Raises:
            ImageError: the server does not start or does not end.
        """
        findings = Findings()
        for number in range(1, rounds + 1):
            volume = self.new_volume(number)
            with self.booted(volume, findings) as server:
                findings.empty_s.append(server.wait_healthy())
            with self.booted(volume, findings) as server:
                findings.used_s.append(server.wait_healthy())
                self.look(server, findings)
                if number == rounds:
                    self.smoke(findings)
            self.tell(
                f"boot {number} of {rounds}: {findings.empty_s[-1]:.2f} s on an empty volume, "
                f"{findings.used_s[-1]:.2f} s on it once used"
            )
        return findings

    def new_volume(self, number: int) -> Path:
        """Create a folder like a new volume on Fly: empty, and writable by root only."""
        folder = self.scratch / f"volume-{number}"
        folder.mkdir()
        folder.chmod(0o755)
        return folder

    @contextmanager
    def booted(self, volume: Path, findings: Findings) -> Iterator[Served]:
        """Start the server on a volume; stop it as Fly does, and check that it ends cleanly."""
        argv = self.buildah.argv(*run_argv(self.machine, self.container, volume, self.command))
        log = self.scratch / "server.log"
        with served(self.machine, argv, log) as server:
            yield server
            code, seconds = server.stop()
        findings.stop_s.append(seconds)
        if code:
            findings.blame(f"SIGTERM ended the server with exit code {code}, not with 0.")
        if "Traceback" in log.read_text("utf-8", "replace"):
            findings.blame(
                f"The server's log has a traceback:\n{log.read_text('utf-8', 'replace')}"
            )

    def look(self, server: Served, findings: Findings) -> None:
        """Check the user of a running server."""
        actual = server.user_id()
        if self.user_id is None:
            findings.blame("The image has no user for the server to become.")
        elif actual != self.user_id:
            findings.blame(f"The server runs as user {actual}, not as {self.user_id}.")

    def smoke(self, findings: Findings) -> None:
        """Run `roost smoke`, as a user would."""
        verb = ("smoke", self.machine.url, "--version", self.version)
        login = {AUTH_SECRET: self.machine.env[AUTH_SECRET]}
        done = subprocess.run(
            [sys.executable, "-m", "roost", *verb], env={**os.environ, **login}, check=False
        )
        findings.smoked = done.returncode == 0
        if not findings.smoked:
            findings.blame(f"`roost smoke` failed with {done.returncode}; see above.")
