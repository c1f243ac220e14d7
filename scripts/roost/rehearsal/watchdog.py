"""A local Fly that runs while standard input is open, and leaves nothing behind.

Run as `python -m roost.rehearsal.watchdog HOME`. If the parent
process ends in any way, killed too, the kernel closes the pipe, and the daemon, its machines and
its folder are removed. Imports little, so that it starts at once.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ORDER_LIMIT_S = 40
"""Longest wait for the daemon; a machine may take 20 s to stop."""
LOG_BYTES = 4096
POLITE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(home: Path) -> int:
    """Run a local Fly in a new folder until the pipe or the daemon ends."""
    for number in POLITE:  # the pipe ends it, not a signal; the daemon gets the default handlers
        signal.signal(number, signal.default_int_handler)
    daemon = None
    try:
        home.mkdir(mode=0o700)
        daemon = _start(home)
        _wait(daemon)
    except KeyboardInterrupt:
        pass
    finally:
        for number in POLITE:  # a signal must not interrupt the clean-up
            signal.signal(number, lambda *_: None)
        if daemon is not None:
            _end(home, daemon)
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _start(home: Path) -> subprocess.Popen[bytes]:
    _log(home).parent.mkdir()
    with _log(home).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "localfly", "serve"],
            env=_environ(home),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _log(home: Path) -> Path:
    return home / "logs" / "daemon.log"


def _environ(home: Path) -> dict[str, str]:
    return {**os.environ, "LOCALFLY_HOME": str(home)}


def _wait(daemon: subprocess.Popen[bytes]) -> None:
    """Wait until the pipe or the daemon ends; nothing is ever sent on the pipe."""
    ended = os.pidfd_open(daemon.pid)
    try:
        select.select([sys.stdin.fileno(), ended], [], [])
    finally:
        os.close(ended)


def _end(home: Path, daemon: subprocess.Popen[bytes]) -> None:
    """Stop the daemon and its machines."""
    if daemon.poll() is not None:  # it ended by itself: report its output
        sys.stderr.write(_log(home).read_bytes()[-LOG_BYTES:].decode(errors="replace"))
    daemon.terminate()
    try:
        code = daemon.wait(ORDER_LIMIT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        code = daemon.wait()
    if code:  # its machines still run: another daemon finds them by its records and stops them
        subprocess.run(
            [sys.executable, "-m", "localfly", "reset", "--yes"],
            env=_environ(home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
