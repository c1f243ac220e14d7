"""Other programs: started so that nothing of them can outlive us, and heard."""

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

# A process tree and mounts of their own, which the kernel ends when we end, even by SIGKILL:
# debootstrap mounts /proc, and buildah leaves a server running when it is killed alone.
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
    """Runs programs; what they say goes to the end of one log."""

    log: Path

    def run(self, *argv: str) -> str:
        """Run a program to its end and return its standard output.

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
    """Start a program in a container of its own; end it with all it started, whatever happens."""
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
    """End the first process inside, and with it, by the kernel, all others; then see it out."""
    with contextlib.suppress(psutil.NoSuchProcess):
        inside = psutil.Process(process.pid).children()
        for first in inside:
            first.kill()
        if not inside:
            process.kill()  # it had not come to start one
    process.wait()


def require(programs: Iterable[str], find: Callable[[str], str | None] = shutil.which) -> None:
    """Make sure that programs are there.

    Raises:
        ImageError: some are not; says which Debian packages have them.
    """
    missing = [program for program in programs if find(program) is None]
    packages = " ".join(sorted({DEBIAN_PACKAGES[program] for program in missing}))
    if missing:
        raise ImageError(
            f"There is no {' and no '.join(missing)} here; on Debian and Ubuntu, install: "
            f"apt-get install --no-install-recommends {packages}"
        )


def end_of(log: Path, offset: int = 0) -> str:
    """Return the last lines of a log, of those after an offset in bytes."""
    if not log.exists():
        return ""
    said = log.read_bytes()[offset:].decode("utf-8", "replace")
    return "\n".join(said.splitlines()[-TOLD_LINES:])


def shown(argv: Sequence[str]) -> str:
    """Return a command as a person would name it: the program and what it is to do."""
    words = [Path(argv[0]).name, *(word for word in argv[1:] if not word.startswith(("-", "/")))]
    return " ".join(words[:3])
