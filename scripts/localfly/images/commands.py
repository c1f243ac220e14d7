"""Run a command and pass its output on line by line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from typing import TYPE_CHECKING

from localfly.errors import ImageBuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_TAIL_LINES = 20
_LINE_BYTES = 1024 * 1024


async def run_command(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], progress: Callable[[str], None]
) -> None:
    """Run a command; kill it and its children if the caller is cancelled.

    Raises:
        ImageBuildError: It cannot be run or fails; has the last lines of its output.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=_LINE_BYTES,
        )
    except OSError as error:
        raise ImageBuildError(f"{argv[0]} cannot be run: {error}.") from error
    try:
        tail = await _pass_on(process, progress)
        status = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())
        raise
    if status:
        output = "\n".join(tail)
        raise ImageBuildError(f"`{' '.join(argv)}` ended with {status}:\n{output}")


async def _pass_on(
    process: asyncio.subprocess.Process, progress: Callable[[str], None]
) -> deque[str]:
    """Pass on each line that is not empty; return the last ones."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    if process.stdout is not None:
        async for raw in process.stdout:
            line = raw.decode("utf-8", errors="replace").rstrip()
            if line:
                tail.append(line)
                progress(line)
    return tail
