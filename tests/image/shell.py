"""Run other programs so that none outlives this process, and keep their output."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from image.errors import CommandError, ImageError

# Separate process and mount namespaces, which the kernel ends with this process, even after
# SIGKILL: debootstrap mounts /proc, and a killed buildah leaves a server running.
CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
DEBIAN_PACKAGES = {
    "buildah": "buildah netavark",  # from 1.33 on, it makes no container without the second
    "debootstrap": "debootstrap",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
TOLD_LINES = 25


@dataclass(frozen=True)
class Shell:
    """Runs programs and appends their output to one log."""

    log: Path

    def run(self, *argv: str) -> str:
        """Run a program and return its standard output.

        Raises:
            CommandError: it failed.
        """
        offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            with contained(argv, stdout=subprocess.PIPE, stderr=log) as process:
                said, _ = process.communicate()
            log.write(said)
        if process.returncode:
            raise CommandError(f"`{shown(argv)}` failed:\n{end_of(self.log, offset)}")
        return said.decode("utf-8", "replace").strip()


@contextlib.contextmanager
def contained(
    argv: Sequence[str], stdout: int | IO[bytes], stderr: int | IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in its own namespaces; end it and its descendants in any case."""
    process = subprocess.Popen(
        [*CONTAINED, *argv],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,  # Ctrl-C is for us; we end what we started
    )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the first process inside, with which the kernel ends all others; then wait for it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        inside = psutil.Process(process.pid).children()
        for first in inside:
            first.kill()
        if not inside:
            process.kill()  # it had not come to start one
    process.wait()


def require(programs: Iterable[str], find: Callable[[str], str | None] = shutil.which) -> None:
    """Check that programs are installed.

    Raises:
        ImageError: some are missing; names their Debian packages.
    """
    missing = [program for program in programs if find(program) is None]
    packages = " ".join(sorted({DEBIAN_PACKAGES[program] for program in missing}))
    if missing:
        raise ImageError(
            f"There is no {' and no '.join(missing)} here; on Debian and Ubuntu, install: "
            f"apt-get install --no-install-recommends {packages}"
        )


def end_of(log: Path, offset: int = 0) -> str:
    """Return the last lines of a log after an offset in bytes."""
    if not log.exists():
        return ""
    said = log.read_bytes()[offset:].decode("utf-8", "replace")
    return "\n".join(said.splitlines()[-TOLD_LINES:])


def shown(argv: Sequence[str]) -> str:
    """Return a short form of a command: the program and its task."""
    words = [Path(argv[0]).name, *(word for word in argv[1:] if not word.startswith(("-", "/")))]
    return " ".join(words[:3])
