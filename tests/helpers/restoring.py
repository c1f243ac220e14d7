"""What a `Restorer` does to a whole Fly, tried at each of its calls."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any, TypeVar

import anyio
import httpx

from helpers import virtual_time
from helpers.applying import EveryName, Run
from helpers.fake_prefect import say
from helpers.fly_trouble import Trouble, TroubledFly
from helpers.releasing import GIT, NOW, World, run_to_its_end
from roost.apply.restore import Restorer
from roost.apply.snapshots import Snapshots
from roost.apply.work import Work, lease_holder
from roost.fly.client import FlyClient
from roost.plan.desired import Desired
from roost.plan.live import Live, read_live
from roost.secret_text import SecretText

R = TypeVar("R", bound=Restorer)
Machine = dict[str, Any]
Serve = Callable[[httpx.Request], Awaitable[httpx.Response]]


class DataWorld(World):
    """A world whose machines serve data; `spoilt` ones fail the gate, `let_in` has what was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.spoilt: set[str] = set()
        self.let_in: list[str] = []


def serving(
    world: DataWorld,
    held: Callable[[Machine], str],
    serves: Callable[[Machine], bool] = lambda _: True,
) -> Serve:
    """Answer as the proxy does: one machine, that is not cordoned, serves its data.

    Args:
        world: the Fly and its server.
        held: returns the data of a machine.
        serves: returns whether a machine runs the server.
    """

    async def serve(request: httpx.Request) -> httpx.Response:
        open_ = [m for m in world.fly.machines.values() if not m.get("cordoned")]
        assert len([m for m in open_ if m["state"] == "started"]) <= 1, "two serve"
        if not open_ or not serves(open_[0]):
            return say(503)
        machine = next((m for m in open_ if m["state"] == "started"), open_[0])
        machine["state"] = "started"
        if request.url.path == "/roost/open":
            world.let_in.append(held(machine))
        world.prefect.broken = {("GET", "/"): say(404)} if held(machine) in world.spoilt else {}
        return await world.prefect(request)

    return serve


def run_restorer(
    world: World,
    kind: type[R],
    do: Callable[[R], Awaitable[object]],
    desired: Desired,
    trouble: TroubledFly | None = None,
) -> Run:
    """Have a restorer of a kind do something; what ends it is in the run's `error`."""
    run = Run()
    world.fly.asked.clear()

    async def work() -> None:
        transport = httpx.MockTransport(trouble.answer if trouble else world.fly)
        with anyio.CancelScope() as scope:
            if trouble:
                trouble.scope = scope
            async with (
                FlyClient("http://fly.test", SecretText("t"), transport=transport) as client,
                lease_holder(client, desired.app, run.notices.append, "roost restore") as leases,
            ):
                working = Work(client, leases, EveryName(), run.notices.append)
                snapshots = Snapshots(world.proof(client), run.notices.append)
                await do(kind(working, snapshots, desired, GIT, lambda: NOW))

    run_to_its_end(run, work)
    return run


def look(world: World, app: str) -> Live:
    """Return what Fly has of an app now."""

    async def read() -> Live:
        transport = httpx.MockTransport(world.fly)
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
            return await read_live(client, app)

    return virtual_time.run(read)


def troubled_runs(
    world: World, trouble: Trouble, once: Callable[[TroubledFly], Run], min_calls: int
) -> Iterator[tuple[int, Run]]:
    """Run once for each call that can go wrong, each time from the same start.

    Args:
        world: the Fly; after each run it is as that one left it.
        trouble: what goes wrong.
        once: runs against a Fly in trouble.
        min_calls: so many calls there must be, at least.
    """
    start = copy.deepcopy(world.fly)
    for nth in count(1):
        world.fly = copy.deepcopy(start)
        troubled = TroubledFly(world.fly, trouble, nth)
        run = once(troubled)
        if not troubled.happened:
            break
        world.fly.leave_leases()
        yield nth, run
    assert nth > min_calls, "the trouble met few calls, or none"
