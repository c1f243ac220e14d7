"""A private local Fly for one rehearsal, removed afterwards even if this process is killed."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from roost.errors import LocalFlyError
from roost.operations.local_fly import START_LIMIT_S, LocalFly, find_local_fly

POLL_S = 0.05


@dataclass(frozen=True)
class PrivateFly:
    """A running private local Fly, and its folder."""

    local: LocalFly
    home: Path


@asynccontextmanager
async def private_local_fly(environ: Mapping[str, str]) -> AsyncIterator[PrivateFly]:
    """Run a local Fly in a folder of its own; stop it and remove the folder at the end.

    Raises:
        LocalFlyError: it did not start; the message has its output.
    """
    # The watchdog creates the folder, so that at every moment somebody will remove it.
    home = Path(tempfile.gettempdir()) / f"roost-rehearsal-{secrets.token_hex(6)}"
    guard = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program; starting it takes no time
        [sys.executable, "-m", "roost.rehearsal.watchdog", str(home)],
        env=dict(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches only this process
    )
    try:
        yield PrivateFly(await _answering(home, guard), home)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_end, guard)


async def _answering(home: Path, guard: subprocess.Popen[bytes]) -> LocalFly:
    with anyio.move_on_after(START_LIMIT_S):
        while guard.poll() is None:
            local = await find_local_fly(home)
            if local is not None:
                return local
            await anyio.sleep(POLL_S)
    output = await anyio.to_thread.run_sync(_end, guard)
    raise LocalFlyError(
        f"A local Fly for the rehearsal did not start: {output or 'it does not answer.'}",
        advice="Check the free disk space and memory, then run the same command again.",
    )


def _end(guard: subprocess.Popen[bytes]) -> str:
    """Close the pipe and wait until all is removed; return the output of a daemon that died."""
    assert guard.stdin  # noqa: S101 - both are pipes
    assert guard.stderr  # noqa: S101 - see above
    guard.stdin.close()
    output = b"" if guard.stderr.closed else guard.stderr.read()
    guard.stderr.close()
    guard.wait()
    return output.decode(errors="replace").strip()
