"""The home folder of a daemon: who holds it, and where its daemon answers."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localfly.errors import LocalFlyError


class AlreadyRunningError(LocalFlyError):
    """Another daemon holds this home folder."""


@dataclass(frozen=True)
class Delays:
    """What Fly takes its time for, in seconds; here all is at once unless asked for."""

    suspend_s: float = 0.0
    """How long a machine is `suspending` before it is suspended."""
    secrets_s: float = 0.0
    """How long new secrets are unknown to the hosts, which refuse machines that ask for them."""


@dataclass(frozen=True)
class Settings:
    """What the command line may choose."""

    home: Path
    cache: Path
    port: int = 0
    """0 for a free one; the last one is tried first."""
    token: str | None = None
    delays: Delays = Delays()


def discovery_file(home: Path) -> Path:
    """Return the file that says where the daemon of a home folder answers."""
    return home / "daemon.json"


def announce(home: Path, api_url: str) -> None:
    """Report where we answer; whoever reads the file sees all of it or none."""
    record = {"pid": os.getpid(), "api_url": api_url, "started_at": int(time.time())}
    aside = home / "daemon.json.new"
    aside.write_text(json.dumps(record), encoding="utf-8")
    aside.replace(discovery_file(home))


def hold(home: Path) -> IO[str]:
    """Hold a home folder for as long as the file is open; the kernel lets go when we die.

    Raises:
        AlreadyRunningError: somebody else holds it.
    """
    lock = (home / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise AlreadyRunningError(
            f"A local Fly{_who(home)} already runs with {home}.",
            advice="Stop it first: localfly stop.",
        ) from None
    return lock


def last_port(home: Path) -> int:
    """Return the port the API had last; 0 for none."""
    try:
        return int((home / "port").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def keep_port(home: Path, port: int) -> None:
    """Remember the port the API has."""
    (home / "port").write_text(str(port), encoding="utf-8")


def _who(home: Path) -> str:
    try:
        record = json.loads(discovery_file(home).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return f" (process {record['pid']}, {record['api_url']})"
