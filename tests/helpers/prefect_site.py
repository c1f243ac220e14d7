"""A Prefect server on a local Fly of its own, used by commands and over HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx

from helpers.local_daemon import LocalDaemon
from helpers.plain_http import NO_TLS
from helpers.prefect_versions import NEWEST
from helpers.roost_command import RoostCommand
from helpers.waiting import LIMIT_S
from roost.environment.model import AUTH_SECRET

NAME = "demo"
APP = "/apps/acme-prefect"
LOGIN = "admin:s3cret"
IDLE_S = 10
"""Short, and longer than a busy computer takes from one request of a test to the next."""


class PrefectSite:
    """One environment on one local Fly."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.roost = RoostCommand(folder, cache, **{AUTH_SECRET: LOGIN})
        self.daemon = LocalDaemon(self.roost.home, cache)

    def start(self, **fields) -> PrefectSite:
        """Write the environment file, and start the local Fly."""
        self.write(**fields)
        self.daemon.start()
        return self

    def write(self, **fields) -> None:
        """Write the environment file."""
        own = {"scaling": {"idle_after": f"{IDLE_S}s"}, "prefect": {"version": NEWEST}}
        self.roost.write(NAME, own, **fields)

    def bring_up(self) -> PrefectSite:
        """Plan and apply, and keep the output of both."""
        self.first_plan = self.roost.json("plan", NAME, "--local")
        self.apps_after_plan = self.status()["apps"]
        self.first_apply = self.roost.json("apply", NAME, "--local")
        return self

    def status(self):
        """Return the status of the local Fly."""
        return self.daemon.client.get("/localfly/status").json()

    @property
    def machine(self):
        """The id of the one machine."""
        [machine] = self.daemon.call("GET", f"{APP}/machines")
        return machine["id"]

    @property
    def state(self):
        """The state of the machine."""
        return self.daemon.machine(APP, self.machine)["state"]

    @property
    def volume(self) -> Path:
        """The folder of the one volume."""
        [volume] = self.daemon.call("GET", f"{APP}/volumes")
        return self.daemon.home / "volumes" / str(volume["id"])

    def rest(self, action: str, state: str) -> None:
        """Stop or suspend the machine, and wait for the state."""
        self.daemon.call("POST", f"{APP}/machines/{self.machine}/{action}")
        self.daemon.wait(APP, self.machine, state)

    def wake(self) -> None:
        """Wake the server with a request."""
        assert self.ask("GET", "/health").json() is True

    def newest_event(self):
        """Return the id of the machine's last event."""
        return self.daemon.machine(APP, self.machine)["events"][0]["id"]

    def events_after(self, mark):
        """Return the machine's events after another one, oldest first, as `type/status/source`."""
        found = self.daemon.call("GET", f"{APP}/machines/{self.machine}/events")
        newer = [event for event in reversed(found) if event["id"] > mark]
        return [f"{event['type']}/{event['status']}/{event['source']}" for event in newer]

    def url(self) -> str:
        """Return the address of the server."""
        port = self.status()["apps"][APP.removeprefix("/apps/")]["port"]
        return f"http://127.0.0.1:{port}"

    def http(self, login: str = LOGIN) -> httpx.Client:
        """Open a client of the server's API, logged in."""
        user, _, password = login.partition(":")
        auth = (user, password) if login else None
        return httpx.Client(
            base_url=f"{self.url()}/api", auth=auth, trust_env=False, timeout=LIMIT_S, verify=NO_TLS
        )

    def ask(self, verb: str, path: str, body=None) -> httpx.Response:
        """Send a request to Prefect's API, logged in, and check that it succeeds."""
        with self.http() as http:
            answer = http.request(verb, path, json=body)
        assert answer.is_success, (verb, path, answer.status_code, answer.text)
        return answer
