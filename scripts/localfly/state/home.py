"""The home folder of a daemon: its lock, the daemon's address, and the settings."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localfly.errors import LocalFlyError
from localfly.state.weather import Weather


class AlreadyRunningError(LocalFlyError):
    """Another daemon uses this home folder."""


@dataclass(frozen=True)
class Delays:
    """Delays of Fly, in seconds; 0 unless the command line sets them."""

    suspend_s: float = 0.0
    """The time that a machine is `suspending` before it is `suspended`."""
    secrets_s: float = 0.0
    """The time until hosts know new secrets; they refuse machines that need them until then."""
    answers_s: float = 0.0
    """The time that each answer of the Machines API takes."""


@dataclass(frozen=True)
class Settings:
    """The settings from the command line and the environment."""

    home: Path
    cache: Path
    port: int = 0
    """0 for the last port or a free one."""
    token: str | None = None
    delays: Delays = Delays()
    weather: Weather | None = None
    """The troubles of the Machines API; None for none."""


def discovery_file(home: Path) -> Path:
    """Return the file with the address of a home folder's daemon."""
    return home / "daemon.json"


def announce(home: Path, api_url: str) -> None:
    """Write the daemon's address, atomically for readers."""
    record = {"pid": os.getpid(), "api_url": api_url, "started_at": int(time.time())}
    aside = home / "daemon.json.new"
    aside.write_text(json.dumps(record), encoding="utf-8")
    aside.replace(discovery_file(home))


def lock_home(home: Path) -> IO[str]:
    """Lock a home folder while the file is open; the kernel unlocks it when the process ends.

    Raises:
        AlreadyRunningError: another daemon has locked it.
    """
    lock = (home / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise AlreadyRunningError(
            f"A local Fly{_describe_holder(home)} already runs with {home}.",
            advice="Stop it first: localfly stop.",
        ) from None
    return lock


def last_port(home: Path) -> int:
    """Return the API's last port; 0 for none."""
    try:
        return int((home / "port").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def save_port(home: Path, port: int) -> None:
    """Store the API's port."""
    (home / "port").write_text(str(port), encoding="utf-8")


def _describe_holder(home: Path) -> str:
    try:
        record = json.loads(discovery_file(home).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return f" (process {record['pid']}, {record['api_url']})"
