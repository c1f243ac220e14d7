"""The testbed of a scenario: an environment on a local Fly, with a proxy in front of its API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from chaos.commands import CommandResult, Commands
from chaos.unexpected_errors import describe_error
from helpers.api_door import Door, counting
from helpers.fake_prefect import LOGIN
from helpers.local_daemon import LocalDaemon
from helpers.plain_http import NO_TLS
from helpers.roost_command import RoostCommand
from helpers.small_server import NAME, SMALL
from roost.environment.load import load_environment
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.plan.desired import Desired
from roost.plan.desired_state import desired_state
from roost.plan.drill_config import drill_app
from roost.plan.live import Live, read_live
from roost.plan.ownership import our_machines
from roost.plan.releases import Release, releases_on
from roost.secret_text import SecretText

Fields = Mapping[str, Any]
PATIENCE_S, PAUSE_S = 300.0, 0.1
DATABASE_URL = "postgresql+asyncpg://prefect:s3cret@db.internal:5432/prefect"
HOOK = "HOOK_URL"
APP = "{app}"


@dataclass(frozen=True)
class Held:
    """A lease that has not expired."""

    machine: str
    path: str
    nonce: str
    expires_at: float


class Testbed:
    """One environment, its app, and the commands that change it.

    Args:
        roost: the folder of environment files, and the environment of commands.
        daemon: the local Fly.
        door: the proxy in front of the API, which can fail calls.
        commands: run Roost through the proxy.
        app: the app's name.
    """

    def __init__(
        self, roost: RoostCommand, daemon: LocalDaemon, door: Door, commands: Commands, app: str
    ) -> None:
        self.roost = roost
        self.daemon = daemon
        self.door = door
        self.commands = commands
        self.app = app
        self.environ: dict[str, str] = {}
        """What commands are given beside what all are."""
        self.rows: dict[str, str] = {}
        """Rows to look for afterwards, by what they are called."""
        self.noted: dict[str, Any] = {}
        """What was there before the change, by what it is."""

    def write(self, fields: Fields) -> None:
        """Write the environment file of the testbed."""
        prefect = {"version": "3.8.8", "image": SMALL, **fields.get("prefect", {})}
        self.roost.write(NAME, {**fields, "app": self.app, "prefect": prefect})

    def begin(self, *argv: str) -> None:
        """Start a command on the environment; `{app}` in an option becomes the app's name."""
        verb, *options = (word.replace(APP, self.app) for word in argv)
        self.commands.begin(verb, NAME, "--local", *options, **self.environ)

    def run(self, *argv: str) -> CommandResult:
        """Run a command on the environment to its end, without faults."""
        self.open_door()
        self.begin(*argv)
        return self.commands.finish()

    def expect(self, code: int, *argv: str) -> None:
        """Run a command that must end with this code before a scenario begins.

        Raises:
            AssertionError: it ends with another code.
        """
        ended = self.run(*argv)
        if ended.code != code:
            raise AssertionError(f"{' '.join(argv)} ended with {ended.code}: {ended.output}")

    def describe_error(self, error: Exception) -> str:
        """Return an unexpected error as a fault, with the last command; and end that command."""
        told = describe_error(error, self.commands.latest)
        self.open_door()
        with suppress(ChildProcessError):
            self.commands.clear()
        return told

    def errors(self) -> Iterator[str]:
        """Return the proxy's own errors, once."""
        while self.door.mishaps:
            yield f"at the door: {describe_error(self.door.mishaps.pop(0))}"

    def open_door(self) -> None:
        """Let every call pass from now on."""
        self.door.asked = lambda _: None
        self.door.answered = lambda _: None

    def call(self, verb: str, path: str, **options: Any) -> Any:
        """Send a request below the app's path directly to the API."""
        return self.daemon.call(verb, f"/apps/{self.app}{path}", **options)

    def short(self, note: str) -> str:
        """Return a recorded call without the part that all calls share."""
        return note.replace(f"/v1/apps/{self.app}", "").replace("/v1", "")

    def desired(self) -> Desired:
        """Return the desired state from the environment file."""
        file = load_environment(NAME, self.roost.environments)
        return desired_state(file, file.environment.prefect.image or SMALL)

    def live(self) -> Live:
        """Return the live state."""

        async def look() -> Live:
            async with FlyClient(str(self.daemon.client.base_url), SecretText("any")) as fly:
                return await read_live(fly, self.app)

        return anyio.run(look)

    def machines(self, live: Live) -> tuple[Machine, ...]:
        """Return the environment's machines."""
        return tuple(our_machines(self.desired(), live).values())

    def releases(self, live: Live) -> tuple[Release, ...]:
        """Return the release records in the machines' metadata."""
        return releases_on(self.machines(live))

    def steps_left(self) -> tuple[str, ...]:
        """Return the steps that a plan has now, or its refusal."""
        ended = self.run("plan", "--json")
        try:
            # Progress lines may be before or after it.
            plan, _ = json.JSONDecoder().raw_decode(ended.output[ended.output.index("{") :])
        except ValueError:
            return (f"nobody knows, the plan ended with {ended.code}: {ended.last}",)
        refused = (f"refused: {refusal['what']}" for refusal in plan["refusals"])
        return (*(step["summary"] for step in plan["steps"]), *refused)

    def leases(self) -> Iterator[Held]:
        """Return the leases that have not expired, including those of a drill's app."""
        for app in (self.app, self.drill_app):
            answer = self.daemon.client.get(f"/v1/apps/{app}/machines")
            for machine in answer.json() if answer.is_success else ():
                path = f"/v1/apps/{app}/machines/{machine['id']}/lease"
                held = self.daemon.client.get(path).json().get("data")
                if held:
                    yield Held(machine["name"], path, held["nonce"], held["expires_at"])

    def end_leases(self) -> None:
        """Expire every lease, which a user would wait for.

        A lease may have expired or its machine may be gone meanwhile.
        """
        for held in self.leases():
            nonce = {"fly-machine-lease-nonce": held.nonce}
            self.daemon.client.delete(held.path, headers=nonce)

    def remove(self) -> None:
        """Delete the app and the app of a drill, if they exist."""
        for app in (self.drill_app, self.app):
            self.daemon.client.delete(f"/v1/apps/{app}", params={"force": "true"})

    @property
    def drill_app(self) -> str:
        """The name of the app for drills."""
        return drill_app(self.app)

    def ask(self, path: str) -> str:
        """Send a request to the server, and wait until it answers.

        Raises:
            TimeoutError: it does not.
        """
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            with suppress(httpx.HTTPError):
                answer = httpx.get(f"{self.url}{path}", trust_env=False, verify=NO_TLS)
                if answer.is_success:
                    return answer.text
            time.sleep(PAUSE_S)
        raise TimeoutError(f"{self.app} does not answer {path}")

    def write_row(self, patience_s: float = PATIENCE_S) -> str:
        """Write a flow run; return its id if the server acknowledged it, else nothing."""
        user, _, password = LOGIN.partition(":")
        with httpx.Client(
            base_url=self.url,
            auth=(user, password),
            trust_env=False,
            timeout=patience_s,
            verify=NO_TLS,
        ) as http:
            answer = http.post("/api/flow_runs/", json={"name": "chaos"})
        return str(answer.json()["id"]) if answer.status_code == httpx.codes.CREATED else ""

    def write_row_surely(self) -> str:
        """Write a flow run, and retry until the server acknowledges it; return its id.

        Raises:
            TimeoutError: it does not.
        """
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            with suppress(httpx.HTTPError):
                if row := self.write_row():
                    return row
            time.sleep(PAUSE_S)
        raise TimeoutError(f"{self.app} takes no row")

    def snapshots(self, volume: str) -> list[Any]:
        """Return the completed snapshots of a volume."""
        found = self.call("GET", f"/volumes/{volume}/snapshots")
        return [snapshot for snapshot in found if snapshot["status"] == "created"]

    @property
    def url(self) -> str:
        """The app's URL; empty while there is no app."""
        apps = self.daemon.client.get("/localfly/status").json()["apps"]
        return f"http://127.0.0.1:{apps[self.app]['port']}" if self.app in apps else ""


@contextmanager
def open_testbed(folder: Path, daemon: LocalDaemon, app: str) -> Iterator[Testbed]:
    """Create a testbed on a local Fly, and delete everything afterwards."""
    values = {
        AUTH_SECRET: LOGIN,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": DATABASE_URL,
        HOOK: "https://hook.test/one",
    }
    roost = RoostCommand(folder, Path("/nowhere"), **values)
    with (
        counting(str(daemon.client.base_url)) as door,
        Commands(roost.env, folder / "said") as commands,
    ):
        roost.home.mkdir()
        (roost.home / "daemon.json").write_text(f'{{"api_url": "{door.url}"}}')
        testbed = Testbed(roost, daemon, door, commands, app)
        try:
            yield testbed
        finally:
            testbed.remove()
