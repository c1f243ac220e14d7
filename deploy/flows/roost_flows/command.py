"""Start the user's command and the canary as processes, and end them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from roost_flows.errors import CanaryError, CommandError
from roost_flows.settings import Settings

CANARY_LIMIT_S = 180.0
SHELL_SIGNAL_BASE = 128


def start_command(settings: Settings, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the user's command in a session of its own, which signals to the launcher do not reach.

    Raises:
        CommandError: it cannot be started.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - it is what the environment file names
            settings.command,
            cwd=settings.code,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CommandError(
            f"the command {settings.command[0]!r} cannot be started: {error}. Correct `command` of "
            f"the flow server {settings.name} in the environment file"
        ) from error


def run_canary(environment: Mapping[str, str], image_root: Path) -> None:
    """Run the canary flow and wait for it; its logs have arrived at the server when it ends.

    Raises:
        CanaryError: it failed, or took longer than 180 s.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "roost_flows.canary"],
            cwd=image_root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            timeout=CANARY_LIMIT_S,
            check=False,
        )
        fault = f"ended with {exit_code(done.returncode)}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        fault = f"did not end within {CANARY_LIMIT_S:.0f} s"
    if fault:
        raise CanaryError(
            f"the canary flow {fault}, so no flow would run here. Look at the machine's log: "
            "`fly logs`"
        )


def exit_code(code: int) -> int:
    """Return a process's exit code as a shell does: 128 and the signal for one that was killed."""
    return SHELL_SIGNAL_BASE - code if code < 0 else code


def ended_by_itself(settings: Settings, code: int) -> str:
    """Return why the flow server ends when its command ended with a code that nobody asked for."""
    command = " ".join(settings.command[:1])
    killed = signal.SIGKILL in (-code, code - SHELL_SIGNAL_BASE)
    hint = (
        "Give the machine more memory if its flows need it: `machine.memory_mb`"
        if killed
        else "Look at the machine's log: `fly logs`. The command must run until it is told to stop"
    )
    return f"the command {command!r} ended by itself with {exit_code(code)}. {hint}"


def terminate(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Ask a process to end; return whether it did so in time, in seconds."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return False
    return True
