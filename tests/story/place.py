"""The two sides of a story: two projects on a local Fly that sleep, and the same that never sleeps."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.client import Client, basic
from bench.errors import BenchError
from bench.process import Program, running
from helpers.local_daemon import LocalDaemon
from helpers.prefect_process import LOGIN, PrefectProcess
from helpers.prefect_versions import NEWEST
from helpers.roost_command import RoostCommand
from localfly.images.builder import Image, Images
from roost.environment.model import AUTH_SECRET
from roost.plan.image import image_reference, read_image_parts
from story.timeline import Look, Run, look, read_run
from story.timetable import HAND, NIGHT, OFFICE, Timetable, cron

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples" / "flows"
ENVIRONMENT, APP = "story", "roost-story"
PROJECTS = {"reports": ("0 8-17 * * mon-fri", OFFICE), "nightly": ("0 3 * * *", NIGHT)}
"""For each project its schedule in the example, which the story replaces, and its deployment."""
DEPLOYMENTS = (OFFICE, NIGHT, HAND)
IDLE = "1m"
LIMIT_S = 300.0
LOOK_S = 0.5


@dataclass(frozen=True)
class Server:
    """A Prefect server that both sides are asked by.

    Args:
        url: its address.
        deployments: the names of the story's deployments by their ids.
    """

    url: str
    deployments: Mapping[str, str]

    def press_run(self, deployment: str) -> None:
        """Start a run of a deployment, as the UI does."""
        wanted = next(each for each, name in self.deployments.items() if name == deployment)
        with Client(self.url, basic(LOGIN), limit_s=LIMIT_S) as client:
            client.post(f"/api/deployments/{wanted}/create_flow_run", {}).json()

    def runs(self, times: Timetable) -> tuple[Run, ...]:
        """Return the runs of the story, the earliest first."""
        chosen = {
            "flow_runs": {
                "expected_start_time": {
                    "after_": times.begins.isoformat(),
                    "before_": times.ends.isoformat(),
                },
                "deployment_id": {"any_": list(self.deployments)},
            }
        }
        with Client(self.url, basic(LOGIN), limit_s=LIMIT_S) as client:
            found = client.post("/api/flow_runs/filter", chosen).json()
        runs = (read_run(each, self.deployments) for each in found)
        return tuple(sorted(runs, key=lambda run: run.due))

    def wait_ended(self, times: Timetable) -> tuple[Run, ...]:
        """Wait until each run of the story has ended, and return them.

        Raises:
            BenchError: one has not after LIMIT_S.
        """
        wait_for(lambda: all(run.ended for run in self.runs(times)), "each run has ended")
        return self.runs(times)


def find_server(url: str) -> Server:
    """Return a server once it has all deployments.

    Raises:
        BenchError: it has not after LIMIT_S.
    """

    def found() -> dict[str, str]:
        with Client(url, basic(LOGIN), limit_s=LIMIT_S) as client:
            all_of_it = client.post("/api/deployments/filter", {}).json()
        return {str(each["id"]): str(each["name"]) for each in all_of_it}

    wait_for(lambda: set(DEPLOYMENTS) <= set(found().values()), "all deployments are served")
    return Server(url, found())


def wait_for(check: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait until something is true.

    Raises:
        BenchError: it is not within the limit, in seconds.
    """
    ends = time.monotonic() + limit_s
    while not check():
        if time.monotonic() > ends:
            raise BenchError(f"After {limit_s:.0f} s it is not so that {what}.")
        time.sleep(LOOK_S)


def write_projects(folder: Path, times: Timetable) -> None:
    """Copy the examples with the schedules of the story, as a person edits them."""
    moments = {OFFICE: times.office, NIGHT: times.night}
    for name, (written, deployment) in PROJECTS.items():
        code = folder / "flows" / name
        code.mkdir(parents=True)
        text = (EXAMPLES / name / "serve_flows.py").read_text("utf-8")
        if written not in text:
            raise BenchError(f"The example {name} has no schedule {written}.")
        changed = text.replace(written, cron(moments[deployment]))
        (code / "serve_flows.py").write_text(changed, "utf-8")
        # The server's own lock, so that both sides run in one environment.
        shutil.copy(
            PROJECT / "deploy" / "locks" / f"prefect-{NEWEST}.txt", code / "requirements.txt"
        )


def write_environment(roost: RoostCommand) -> None:
    """Write the file by `roost init`, and add the flow servers and a short time to fall asleep."""
    named = ("--environment", ENVIRONMENT, "--app", APP, "--region", "iad", "--owner", "nobody")
    roost.run("init", *named, "--yes")
    path = roost.environments / f"{ENVIRONMENT}.yaml"
    text = path.read_text("utf-8").replace("idle_after: 5m", f"idle_after: {IDLE}")
    entries = [
        f"  - {{name: {name}, path: flows/{name}, command: [python, serve_flows.py], idle_after: {IDLE}}}"
        for name in PROJECTS
    ]
    path.write_text("\n".join([text.rstrip(), "", "flows:", *entries, ""]), "utf-8")


@dataclass
class Sleeping:
    """The side of Roost: a server and two flow servers on a local Fly of their own."""

    roost: RoostCommand
    daemon: LocalDaemon
    server: Server
    looks: list[Look] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    """The load average of the computer at each look."""
    ticks: list[Mapping[str, Any]] = field(default_factory=list)

    def now(self) -> Look:
        """Look at the states of all machines; it wakes nobody."""
        apps = self.daemon.client.get("/localfly/status").json()["apps"]
        return look(datetime.now(UTC), apps)

    def watch(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        while not stop.wait(LOOK_S):
            self.looks.append(self.now())
            self.loads.append(os.getloadavg()[0])

    def tick(self, stop: threading.Event) -> None:
        """Run `roost tick` once a minute, as a cron does."""
        while not stop.wait(60 - time.time() % 60):
            found = self.roost.json("tick", ENVIRONMENT, "--local")["environments"][0]
            self.ticks.append(found)

    @property
    def is_asleep(self) -> bool:
        """Whether all sleep."""
        return not self.now().awake


@contextmanager
def sleeping(folder: Path, cache: Path, times: Timetable) -> Iterator[Sleeping]:
    """Bring up both projects by `roost init` and `roost apply`, and wait until all sleep.

    Raises:
        BenchError: they do not sleep before the story begins.
    """
    write_projects(folder, times)
    roost = RoostCommand(folder, cache, **{AUTH_SECRET: LOGIN})
    write_environment(roost)
    daemon = LocalDaemon(roost.home, cache)
    try:
        daemon.start()
        roost.json("apply", ENVIRONMENT, "--local")
        apps = daemon.client.get("/localfly/status").json()["apps"]
        side = Sleeping(roost, daemon, find_server(apps[APP]["url"]))
        left = (times.begins - datetime.now(UTC)).total_seconds()
        wait_for(lambda: side.is_asleep, "all sleep before the story begins", max(1.0, left))
        yield side
    finally:
        daemon.clean()


@contextmanager
def never_asleep(folder: Path, code: Path, image: Image) -> Iterator[Server]:
    """Run stock Prefect as it is without Roost: a server, and a process with `serve()` a project."""
    with ExitStack() as stack:
        server = stack.enter_context(PrefectProcess(image, folder / "stock", stock=True))
        for name in PROJECTS:
            home = folder / f"serve-{name}"
            home.mkdir()
            env = {
                **server.environ(),
                "HOME": str(home),
                "PREFECT_HOME": str(home),
                "PREFECT_API_URL": f"{server.url}/api",
                "PREFECT_API_AUTH_STRING": LOGIN,
            }
            argv = (str(image.bin / "python"), str(code / name / "serve_flows.py"))
            stack.enter_context(running(Program(argv, env, home, home / "log", server.url)))
        yield find_server(server.url)


def built_image(cache: Path) -> Image:
    """Return the image of the server, built or from the cache."""
    deploy = PROJECT / "deploy"
    ref = image_reference(APP, NEWEST, read_image_parts(deploy, NEWEST))
    return asyncio.run(Images(cache).build(deploy, NEWEST, ref)).image


def log_line(found: Mapping[str, Any]) -> str:
    """Return a tick as one line."""
    return json.dumps({key: found[key] for key in ("decision", "woken_s", "late_s", "error")})
