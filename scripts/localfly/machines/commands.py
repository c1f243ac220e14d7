"""Run a command beside the process of a machine, as Fly's exec does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from localfly.api_errors import ApiError
from localfly.runtime.machine_processes import ProcessSpec
from localfly.runtime.process import RunningProcess

MOST_OUTPUT = 1024 * 1024
"""The bytes of each output that are kept; the rest is read and dropped."""
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Finished:
    """How a command ended; `exit_signal` is 0 if it exited by itself."""

    exit_code: int
    exit_signal: int
    stdout: str
    stderr: str


async def run_command(
    spec: ProcessSpec,
    process: RunningProcess,
    argv: Sequence[str],
    *,
    stdin: str,
    timeout_s: float,
) -> Finished:
    """Run a command in a machine's environment until it ends; it ends with the machine.

    Args:
        spec: the machine's process, whose environment, folder and paths it gets.
        process: the machine's running process.
        argv: the command and its arguments.
        stdin: its input.
        timeout_s: after so many seconds it is killed.

    Raises:
        ApiError: 400 if it cannot be run, 408 after the time, 412 if the machine ended.
    """
    mapping = spec.path_mapping()
    try:
        child = await asyncio.create_subprocess_exec(
            *(mapping.rewrite(part) for part in argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=spec.image.folder,
            env=spec.environment(),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ApiError(400, f"invalid_argument: cannot run {argv[0]!r}: {error}") from error
    talk = asyncio.ensure_future(_talk(child, stdin.encode()))
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait((talk, ended), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        # A machine that ends ends this command, too, which may be seen first.
        was_killed = child.returncode == -signal.SIGKILL and process.ending
        if talk.done() and not was_killed:
            return _finished(child, *talk.result())
        if ended.done() or was_killed:
            raise ApiError(412, "failed_precondition: the machine stopped")
        raise ApiError(408, f"deadline_exceeded: the command ran for {timeout_s:g} s")
    finally:
        # The whole session: a command may have left children behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        for task in (talk, ended):
            task.cancel()
        await asyncio.gather(talk, ended, return_exceptions=True)
        await child.wait()


async def _talk(child: asyncio.subprocess.Process, stdin: bytes) -> tuple[bytes, bytes]:
    """Write the input, read both outputs, and wait for the end."""
    assert child.stdin is not None  # noqa: S101 - they were asked for
    assert child.stdout is not None  # noqa: S101 - they were asked for
    assert child.stderr is not None  # noqa: S101 - they were asked for
    _, out, err, _ = await asyncio.gather(
        _feed(child.stdin, stdin), _read(child.stdout), _read(child.stderr), child.wait()
    )
    return out, err


async def _feed(stream: asyncio.StreamWriter, content: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # a command need not read its input
        stream.write(content)
        await stream.drain()
    stream.close()


async def _read(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(_CHUNK):
        kept += chunk[: MOST_OUTPUT - len(kept)]
    return bytes(kept)


def _finished(child: asyncio.subprocess.Process, out: bytes, err: bytes) -> Finished:
    code = child.returncode or 0
    texts = (out.decode(errors="replace"), err.decode(errors="replace"))
    return Finished(max(code, 0), max(-code, 0), *texts)
