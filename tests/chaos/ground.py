"""Where one scenario is played: an environment on a local Fly, with a door before its API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from chaos.commands import Commands, Ended
from helpers.api_door import Door, counting
from helpers.fake_prefect import LOGIN
from helpers.local_daemon import LocalDaemon
from helpers.roost_command import RoostCommand
from helpers.small_server import NAME, SMALL
from roost.environment.load import load_environment
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.plan.desired import Desired, desired_state
from roost.plan.diff import diff
from roost.plan.live import Live, read_live
from roost.plan.ownership import our_machines
from roost.plan.releases import Release, releases_on
from roost.plan.steps import Step
from roost.secret_text import SecretText

Fields = Mapping[str, Any]
DATABASE_URL = "postgresql://prefect:s3cret@db.internal:5432/prefect"
HOOK = "HOOK_URL"


class Ground:
    """One environment, its app, and who acts on it.

    Args:
        roost: the folder of files and what each command is given.
        daemon: the local Fly.
        door: stands before its API.
        commands: run Roost against the door.
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

    def write(self, fields: Fields) -> None:
        """Write the environment file."""
        prefect = {"version": "3.8.8", "image": SMALL, **fields.get("prefect", {})}
        self.roost.write(NAME, {**fields, "app": self.app, "prefect": prefect})

    def run(self, *argv: str, **environ: str) -> Ended:
        """Run a verb on the environment to its end, with nobody in the way."""
        self.open_door()
        return self.commands.run(*command(*argv), **environ)

    def open_door(self) -> None:
        """Let everything pass from now on."""
        self.door.asked = lambda _: None
        self.door.answered = lambda _: None

    def call(self, verb: str, path: str, **options: Any) -> Any:
        """Send a request below the app's own path to the API itself."""
        return self.daemon.call(verb, f"/apps/{self.app}{path}", **options)

    def short(self, note: str) -> str:
        """Give a call that the door noted without what all of them share."""
        return note.replace(f"/v1/apps/{self.app}", "").replace("/v1", "")

    def desired(self) -> Desired:
        """Give what the file asks for now."""
        file = load_environment(NAME, self.roost.environments)
        return desired_state(file, file.environment.prefect.image or SMALL)

    def live(self) -> Live:
        """Give what is there now."""

        async def look() -> Live:
            async with FlyClient(str(self.daemon.client.base_url), SecretText("any")) as fly:
                return await read_live(fly, self.app)

        return anyio.run(look)

    def machines(self, live: Live) -> tuple[Machine, ...]:
        """Give the environment's machines."""
        return tuple(our_machines(self.desired(), live).values())

    def releases(self, live: Live) -> tuple[Release, ...]:
        """Give what the machines remember."""
        return releases_on(self.machines(live))

    def steps_left(self, live: Live) -> tuple[Step, ...]:
        """Give what a plan would do now."""
        return diff(self.desired(), live).steps

    def leases(self, live: Live) -> Iterator[tuple[Machine, Mapping[str, Any]]]:
        """Give the leases that somebody holds."""
        for machine in live.machines:
            path = f"/v1/apps/{self.app}/machines/{machine.id}/lease"
            held = self.daemon.client.get(path).json().get("data")
            if held:
                yield machine, held

    def end_leases(self) -> None:
        """Let the time of every lease run out: what is waited for outside of tests."""
        for machine, held in self.leases(self.live()):
            nonce = {"fly-machine-lease-nonce": held["nonce"]}
            self.call("DELETE", f"/machines/{machine.id}/lease", headers=nonce)

    def remove(self) -> None:
        """Delete the app, if it is there."""
        self.daemon.client.delete(f"/v1/apps/{self.app}", params={"force": "true"})

    @property
    def url(self) -> str:
        """Where its visitors go; empty while there is no app."""
        apps = self.daemon.client.get("/localfly/status").json()["apps"]
        return f"http://127.0.0.1:{apps[self.app]['port']}" if self.app in apps else ""


def command(*argv: str) -> tuple[str, ...]:
    """Give the whole command line of a verb."""
    verb, *options = argv
    return (verb, NAME, "--local", *options)


@contextmanager
def open_ground(folder: Path, daemon: LocalDaemon, app: str) -> Iterator[Ground]:
    """Make a place on a local Fly, and leave nothing there."""
    values = {AUTH_SECRET: LOGIN, "DATABASE_URL": DATABASE_URL, HOOK: "https://hook.test/one"}
    roost = RoostCommand(folder, Path("/nowhere"), **values)
    with (
        counting(str(daemon.client.base_url)) as door,
        Commands(roost.env, folder / "said") as commands,
    ):
        roost.home.mkdir()
        (roost.home / "daemon.json").write_text(f'{{"api_url": "{door.url}"}}')
        ground = Ground(roost, daemon, door, commands, app)
        try:
            yield ground
        finally:
            ground.remove()
