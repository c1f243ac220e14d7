"""Several machines of one server: some sleep on, some come and go, and one remembers what happened."""

from __future__ import annotations

import anyio
import httpx
import pytest
import stamina

from helpers import virtual_time
from helpers.applying import EveryName
from helpers.environments import POSTGRES
from helpers.fly_answers import says
from helpers.releasing import GIT, NO_PAGES, World, setting
from roost.apply import work as apply_work
from roost.apply.release import Releaser
from roost.apply.work import Work, lease_holder
from roost.errors import ChangedMeanwhileError, FlyCapacityError, GateFailedError, RoostError
from roost.fly.client import FlyClient
from roost.plan.desired import VERSION_KEY
from roost.plan.diff import diff
from roost.plan.live import read_live
from roost.secret_text import SecretText

LEVEL = "PREFECT_LOGGING_LEVEL"


def several(machines, name="", value=""):
    return setting(name, value, **POSTGRES, scaling={"count": machines})


@pytest.fixture
def world():
    return World()


def states(world):
    return {machine["name"]: machine["state"] for machine in world.fly.machines.values()}


def served_by_the_last(world):
    """Have the proxy send requests to a machine that runs, and wake the last one where none does."""

    async def serve(request):
        machines = sorted(world.fly.machines.values(), key=lambda machine: machine["name"])
        awake = [machine for machine in machines if machine["state"] == "started"] or machines[-1:]
        awake[0]["state"] = "started"
        world.prefect.version = awake[0]["config"]["metadata"][VERSION_KEY]
        return await world.prefect(request)

    world.serve = serve


@pytest.mark.parametrize("asleep", [["app-1"], ["app-2"], ["app-1", "app-2"]], ids="-".join)
def test_a_machine_that_sleeps_on_is_no_failure_and_is_not_woken(world, asleep):
    assert world.apply(several(2)).error is None
    for machine in world.fly.machines.values():
        machine["state"] = "stopped" if machine["name"] in asleep else "started"
    served_by_the_last(world)

    run = world.apply(several(2, LEVEL, "DEBUG"))

    assert run.error is None
    assert world.restarts() == 0
    assert list(states(world).values()).count("started") == 1
    assert world.records == [(1, "good", 0), (2, "good", 0)]


def test_a_sleeping_machine_that_alone_is_changed_needs_not_wake_where_another_one_serves(world):
    assert world.apply(several(2)).error is None
    [first, second] = world.fly.machines.values()
    first["config"]["env"][LEVEL] = "BY HAND"
    first["state"], second["state"] = "stopped", "started"
    served_by_the_last(world)

    run = world.apply(several(2))

    assert run.error is None
    assert run.kinds == ["update-machine"]
    assert states(world) == {"app-1": "stopped", "app-2": "started"}


def test_only_what_runs_is_restarted_once(world):
    assert world.apply(several(2)).error is None
    [first, second] = world.fly.machines.values()
    first["state"] = "stopped"
    served_by_the_last(world)
    world.prefect.broken = {("GET", "/"): says(404)}

    run = world.apply(several(2, LEVEL, "DEBUG"))

    assert run.error is not None
    restarted = {change.split("/")[1] for change in world.fly.changes if "/restart" in change}
    assert restarted == {second["id"]}


class Full:
    """No host has room for another machine."""

    scope = None

    def __init__(self, fly):
        self.fly = fly

    async def answer(self, request):
        """Answer one request."""
        if request.method == "POST" and request.url.path.endswith("/machines"):
            said = {"error": "no room", "status": "insufficient_capacity"}
            return httpx.Response(409, json=said)
        return self.fly(request)


def test_machines_that_never_were_are_not_put_back(world):
    """A scale-up that found no room leaves a record; giving it up proves what is there instead."""
    assert world.apply(several(1)).error is None
    assert isinstance(world.apply(several(2), Full(world.fly)).error, FlyCapacityError)
    world.fly.leave_leases()

    assert world.apply(several(1)).error is None
    assert [world.release(n).machines for n in (1, 2, 3)] == [1, 2, 1]
    assert world.records == [(1, "good", 0), (2, "pending", 0), (3, "good", 0)]

    run = world.apply(several(1, NO_PAGES, "false"))

    assert isinstance(run.error, GateFailedError)
    assert states(world) == {"app-1": "started"}


def test_a_scale_up_that_meets_a_change_in_its_gate_waits_and_then_sees_it(world, monkeypatch):
    """Its record would take the place of the other one's, and its machine have the older config."""
    monkeypatch.setattr(apply_work, "LEASE_PATIENCE_S", 5)
    assert world.apply(several(1)).error is None
    planned, in_gate, ended = anyio.Event(), anyio.Event(), {}
    serve = world.serve

    async def slow(request):
        if request.url.path == "/api/health" and not in_gate.is_set():
            in_gate.set()
            await anyio.sleep(2)  # the other one asks for the lease meanwhile
        return await serve(request)

    world.serve = slow

    async def run(desired, before, after):
        transport = httpx.MockTransport(world.fly)
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
            live = await read_live(client, desired.app)
            plan = diff(desired, live)
            await before(plan)
            async with lease_holder(client, desired.app, lambda _: None, "apply") as held:
                work = Work(client, held, EveryName(), lambda _: None)
                releaser = Releaser(work, world.proof(client), desired, GIT, lambda: world.now)
                try:
                    await releaser.apply(plan, live)
                    ended[after] = None
                except RoostError as error:
                    ended[after] = error

    async def late(_):
        planned.set()
        await in_gate.wait()
        for lease in world.fly.leases.values():
            lease.looks = 10**6  # it ends with its holder, not with our patience

    async def once_planned(_):
        await planned.wait()

    async def both():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, several(2), late, "scale")
            tasks.start_soon(run, several(1, LEVEL, "DEBUG"), once_planned, "change")

    with stamina.set_testing(True, attempts=3, cap=True):
        virtual_time.run(both)

    assert ended["change"] is None
    assert isinstance(ended["scale"], ChangedMeanwhileError)
    assert states(world) == {"app-1": "started"}
    assert world.records == [(1, "good", 0), (2, "good", 0)]
    assert world.release(2).config["env"][LEVEL] == "DEBUG"
