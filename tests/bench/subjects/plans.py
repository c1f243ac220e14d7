"""Measure the planning of many environments."""

from __future__ import annotations

import io
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx

from bench.errors import BenchError
from bench.lab import Lab
from bench.rounds import interleaved
from bench.stats import Aim, Limit, Row, Table, Unit
from helpers.pretend_fly import applied, with_machine
from roost.environment.load import DEFAULTS, EnvironmentFile, load_files
from roost.fly.client import FlyClient
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.image_parts import image_for
from roost.operations.planning import make_plan
from roost.plan.desired_state import desired_state
from roost.plan.document import plan_document
from roost.plan.live import Live
from roost.report.text import make_console
from roost.secret_text import SecretText

SIZES = (1, 10, 100, 1000)
SMALLEST_SIZES = SIZES[:2]
# One in this many environments has a change, as in a folder in use.
CHANGED_EVERY = 10
ABOUT = f"""
Seconds to read and validate so many environment files and plan each of them, one after the other, in
one process that is already started: image tags from their parts, live state read by the real client,
difference, cost, and the plan's document with its digest. Fly is a stand-in in the same process that
answers at once with what it has after an apply; one environment in {CHANGED_EVERY} has a change. So this is what
Roost itself takes; on Fly.io the way to the API comes on top, two rounds of calls an environment.
"""


def measure(lab: Lab) -> Table:
    """Plan each number of environments alternately."""
    sizes = SMALLEST_SIZES if lab.smallest else SIZES
    folders = {size: write_environments(lab, size) for size in sizes}
    largest = context(lab, folders[max(sizes)])
    stand_in = StandIn()
    for file in load_files([largest.environments]).files:
        stand_in.add(file, image_for(largest, file))
    found = interleaved(
        lab,
        {
            name(size): partial(plan_all, context(lab, folders[size]), stand_in, size)
            for size in sizes
        },
    )
    aim = Limit(Aim.AT_MOST, 20)
    rows = [
        Row(name(size), Unit.SECONDS, found[name(size)], limit=aim if size == max(SIZES) else None)
        for size in sizes
    ]
    return Table("plans", "validate and plan", ABOUT, tuple(rows))


def name(size: int) -> str:
    """Return a row's name."""
    return f"{size:,} environment{'s' if size > 1 else ''}"


def write_environments(lab: Lab, size: int) -> Path:
    """Write environment files, each a copy of the committed one with its own app."""
    folder = lab.folder("environments")
    text = lab.file.path.read_text("utf-8")
    app = lab.file.environment.app
    for number in range(size):
        own = text.replace(f"app: {app}", f"app: {app}-{number:04}")
        (folder / f"bench-{number:04}.yaml").write_text(own, "utf-8")
    # As in a user's repository: the template's defaults are merged into every file.
    shutil.copy2(lab.project / "environments" / DEFAULTS, folder)
    return folder


def context(lab: Lab, environments: Path) -> Context:
    """Return the context for commands, which prints nothing."""
    console = make_console(io.StringIO())
    return Context({"ROOST_ENVIRONMENTS": str(environments)}, lab.project, console, console)


class StandIn:
    """A stand-in for Fly in this process that answers reads of its apps."""

    def __init__(self) -> None:
        self._answers: dict[str, Any] = {}
        self._apps = 0

    def add(self, file: EnvironmentFile, image: str) -> None:
        """Add an environment's app as an apply leaves it, or with a difference."""
        live = applied(desired_state(file, image))
        if self._apps % CHANGED_EVERY == 0:
            (machine,) = live.machines
            live = with_machine(live, config={**(machine.config or {}), "image": "older"})
        self._apps += 1
        self._answers |= answers(file.environment.app, live)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Return the response to one request."""
        found = self._answers.get(request.url.path)
        return httpx.Response(200, json=found) if found is not None else httpx.Response(404)


def answers(app: str, live: Live) -> dict[str, Any]:
    """Return Fly's responses about an app by path."""
    assert live.app is not None
    parts = {
        "ip_assignments": {"ips": [ip.model_dump() for ip in live.ips]},
        "volumes": [volume.model_dump() for volume in live.volumes],
        "secrets": {"secrets": [secret.model_dump() for secret in live.secrets]},
        "machines": [machine.model_dump() for machine in live.machines],
    }
    path = f"/v1/apps/{app}"
    return {path: live.app.model_dump(), **{f"{path}/{name}": p for name, p in parts.items()}}


def plan_all(made: Context, stand_in: StandIn, size: int) -> float:
    """Validate and plan a folder of environments; return the duration in seconds.

    Raises:
        BenchError: the plans are wrong, so the time has no meaning.
    """
    began = time.monotonic()
    with_steps = anyio.run(count_plans_with_steps, made, stand_in)
    took = time.monotonic() - began
    if with_steps != -(-size // CHANGED_EVERY):
        raise BenchError(f"{with_steps} of {size} plans have steps.")
    return took


async def count_plans_with_steps(made: Context, stand_in: StandIn) -> int:
    """Plan every environment; return how many have steps."""
    loaded = load_files([made.environments])
    if loaded.faults:
        raise BenchError(str(loaded.faults[0]))
    found = 0
    transport = httpx.MockTransport(stand_in)
    async with FlyClient("http://fly.test", SecretText("bench"), transport=transport) as fly:
        for file in loaded.files:
            planned = await make_plan(made, file, Target(fly))
            plan_document(planned.plan, planned.cost)
            found += bool(planned.plan.steps)
    return found
