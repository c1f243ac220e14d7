"""A local Fly for the session, and machines as Roost creates them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import Client, wait_well
from bench.errors import BenchError
from bench.lab import AUTH, LOGIN, Lab
from bench.process import HEALTH, START_LIMIT_S
from helpers.local_daemon import LocalDaemon
from roost.plan.desired_state import desired_state
from roost.plan.ownership import with_volume

STATE_LIMIT_S = 60
TOKEN = {"Authorization": "Bearer bench"}


@dataclass(frozen=True)
class Machine:
    """A machine and its app's address."""

    app: str
    id: str
    url: str


@dataclass(frozen=True)
class Site:
    """A running local Fly."""

    lab: Lab
    home: Path
    api_url: str

    def new_machine(self, app: str) -> Machine:
        """Create an app with a machine that never ran and an empty volume."""
        desired = desired_state(self.lab.file, self.lab.image.ref)
        (wanted,) = desired.machines
        self.send("POST", "/apps", {"name": app, "org_slug": "personal"})
        self.send("POST", f"/apps/{app}/secrets", {"values": {AUTH: LOGIN}})
        disk = {"name": "data", "region": wanted.region, "size_gb": 1}
        volume = self.send("POST", f"/apps/{app}/volumes", disk)["id"]
        request = {
            "name": wanted.name,
            "region": wanted.region,
            "config": with_volume(wanted.config, volume),
            "skip_launch": True,
        }
        made = self.send("POST", f"/apps/{app}/machines", request)
        return Machine(app, made["id"], f"http://127.0.0.1:{self.port(app)}")

    def port(self, app: str) -> int:
        """Return the proxy's port for an app."""
        with Client(self.api_url) as client:
            status = client.get("/localfly/status").json()
        return int(status["apps"][app]["port"])

    def start(self, machine: Machine) -> None:
        """Start a machine; returns when its process runs."""
        self.send("POST", f"{path(machine)}/start")

    def rest(self, machine: Machine, action: str) -> None:
        """Stop or suspend a machine, and wait until it is."""
        goal = {"stop": "stopped", "suspend": "suspended"}[action]
        self.send("POST", f"{path(machine)}/{action}")
        version = self.send("GET", path(machine))["instance_id"]
        wanted = f"state={goal}&version={version}&timeout={STATE_LIMIT_S}"
        self.send("GET", f"{path(machine)}/wait?{wanted}")

    def remove(self, machine: Machine) -> None:
        """Delete the machine's app and all its resources."""
        self.send("DELETE", f"/apps/{machine.app}?force=true")

    def send(self, method: str, where: str, body: Any = None) -> Any:
        """Send a request to the Machines API and return the response.

        Raises:
            BenchError: it was refused.
        """
        # A connection for each request: the API closes idle ones while servers are measured.
        with Client(self.api_url, TOKEN, limit_s=STATE_LIMIT_S + 10) as client:
            answer = client.send(method, f"/v1{where}", body)
        if not answer.well:
            raise BenchError(f"{method} {where}: {answer.status} {answer.body.decode()}")
        return answer.json() if answer.body else None


@contextmanager
def local_fly(lab: Lab, home: Path | None = None, *options: str) -> Iterator[Site]:
    """Run a local Fly; it and its machines are ended in any case.

    Args:
        lab: the session.
        home: the folder of its state; a new one by default.
        options: of `localfly serve`.
    """
    home = home or lab.folder("fly")
    daemon = LocalDaemon(home, lab.cache)
    try:
        yield Site(lab, home, str(daemon.start(*options).client.base_url))
    finally:
        daemon.clean()


def path(machine: Machine) -> str:
    """Return a machine's path in the API."""
    return f"/apps/{machine.app}/machines/{machine.id}"


def request_to_200(machine: Machine) -> float:
    """Wake a machine through the proxy by a health request; return the seconds to the first 200.

    Raises:
        BenchError: there was no 200 in time.
    """
    began = time.monotonic()
    answered = wait_well(machine.url, HEALTH, START_LIMIT_S)
    if answered is None:
        raise BenchError(f"{machine.app} did not answer for {START_LIMIT_S} s")
    return answered - began
