"""A replicated server on a local Fly of its own: its lock, its machines, what they keep, and how one is killed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from helpers.environments import REPLICATED
from helpers.prefect_site import APP, NAME, PrefectSite
from helpers.prefect_versions import NEWEST
from helpers.waiting import LIMIT_S
from localfly.runtime.process import MARK
from roost.environment.extras import parse_extra
from roost.environment.prefect_settings import OWN_DEPLOY
from roost.environment.redis import PASSWORD
from roost.environment.server_lock import header

FIELDS = {**REPLICATED, "prefect": {"version": NEWEST, "extras": ["prefect-redis"]}}
MANAGED = {
    **FIELDS,
    "redis": {"managed": True},
    "secrets": [*REPLICATED["secrets"][:2], PASSWORD],
}
"""The same with a Redis that Roost deploys."""
LOCKED = """prefect-redis==0.3.0 \\
    --hash=sha256:724a65bb2ceed9a0eb9ad6af129e66e5427f0c4b364282f7ee5c9bacf8638549 \\
    --hash=sha256:d1ca0865a37f1c90a83d7c04127609c683c0f794d83ed491c5d0f33128dc1e42
"""
PROVEN = (OWN_DEPLOY / "locks" / f"prefect-{NEWEST}.txt").read_text()
LOCK = header((parse_extra("prefect-redis"),), ()) + PROVEN + LOCKED
SERVER_MACHINES = ("services-1", "app-1", "app-2")
REDIS_APP = f"{APP}-redis"
PAGE = 100
APPLY_S = 4 * LIMIT_S
"""Ends an apply that hangs: it starts four machines, one after the other."""


class ReplicatedSite(PrefectSite):
    """A replicated environment on a local Fly."""

    def __init__(self, folder: Path, cache: Path, **secrets: str) -> None:
        super().__init__(folder, cache)
        lock = self.roost.environments / "locks" / f"{NAME}.txt"
        lock.parent.mkdir()
        lock.write_text(LOCK)
        self.roost.env.update(secrets)

    def machines(self, app: str = APP) -> dict[str, dict[str, Any]]:
        """Return the machines of an app by their names."""
        return {machine["name"]: machine for machine in self.daemon.call("GET", f"{app}/machines")}

    def processes(self, name: str, app: str = APP) -> list[psutil.Process]:
        """Return the processes of a machine."""
        root = str(self.daemon.home / "roots" / self.machines(app)[name]["id"])
        found = []
        for process in self.daemon.machine_processes():
            with suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                if process.environ().get(MARK) == root:
                    found.append(process)
        return found

    def kill(self, name: str, app: str = APP) -> None:
        """Kill the process of a machine, as a failure of its host or its memory does."""
        killed = self.processes(name, app)
        assert killed, f"{name} does not run"
        for process in killed:
            process.kill()

    def is_whole(self) -> bool:
        """Return whether every machine of the server runs and is healthy."""
        found = self.machines().values()
        return all(
            machine["state"] == "started"
            and machine["checks"]
            and all(check["status"] == "passing" for check in machine["checks"])
            for machine in found
        )

    def kept(self, names: Iterable[str]) -> set[str]:
        """Return those of the flows that the server has."""
        found: set[str] = set()
        for offset in itertools.count(0, PAGE):
            page = self.ask("POST", "/flows/filter", {"limit": PAGE, "offset": offset}).json()
            found |= {flow["name"] for flow in page}
            if len(page) < PAGE:
                break
        return found & set(names)


def schedule(ask: Callable[..., Any], name: str) -> Callable[[], int]:
    """Create a deployment that has runs to schedule; return how to count them."""
    flow = ask("POST", "/flows/", {"name": "scheduled"}).json()["id"]
    every = {"schedule": {"interval": 3600, "anchor_date": "2026-01-01T00:00:00Z"}, "active": True}
    wanted = {"name": name, "flow_id": flow, "schedules": [every]}
    chosen = {"deployments": {"id": {"any_": [ask("POST", "/deployments/", wanted).json()["id"]]}}}
    return lambda: int(ask("POST", "/flow_runs/count", chosen).json())
