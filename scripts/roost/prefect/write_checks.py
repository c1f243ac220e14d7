"""Checks that write: the life of a flow run, and the scheduler.

With a wrong SQLAlchemy every endpoint answers while the scheduler is dead, so one check waits for
the runs of a schedule.
"""

from __future__ import annotations

from http import HTTPStatus

import anyio

from roost.prefect.server import CheckFailedError, Server
from roost.prefect.test_objects import CreatedObjects, id_of, own_name, remove_leftovers

SCHEDULE_INTERVAL_S = 3600
"""Long, so that the scheduler creates three runs and not a hundred, and none starts meanwhile."""
INFO = 20


async def check_flow_run(server: Server) -> str:
    """Check the life of a flow run: created, running, completed, read back, found, removed."""
    await remove_leftovers(server)
    async with CreatedObjects(server) as ours:
        flow = await ours.make("/flows", {"name": own_name()})
        wanted = {"flow_id": id_of(flow), "name": "smoke", "state": {"type": "PENDING"}}
        run = await ours.make("/flow_runs", wanted)
        for state in ("RUNNING", "COMPLETED"):
            await _move(server, run, state)
        await _log(server, run)
        await _read_back(server, run)
        await ours.remove(run)
        if await server.status(run) != HTTPStatus.NOT_FOUND:
            raise CheckFailedError("a removed flow run is still there")
    return "created, completed, read back, removed"


async def _move(server: Server, run: str, state: str) -> None:
    """Set the state of a run; the server refuses with a success too (REJECT, WAIT, ABORT)."""
    body = {"state": {"type": state}, "force": False}
    answer = await server.call("POST", f"{run}/set_state", body)
    if answer["status"] != "ACCEPT":
        raise CheckFailedError(
            f"the server answered {server.quote(str(answer['status']))} to {state}"
        )


async def _log(server: Server, run: str) -> None:
    line = {
        "name": "roost.smoke",
        "level": INFO,
        "message": "smoke",
        "timestamp": server.now().isoformat(),
        "flow_run_id": id_of(run),
    }
    await server.call("POST", "/logs/", [line])


async def _read_back(server: Server, run: str) -> None:
    found = await server.call("GET", run)
    if found["state"]["type"] != "COMPLETED":
        state = server.quote(str(found["state"]["type"]))
        raise CheckFailedError(f"a completed run reads back as {state}")
    chosen = {"flow_runs": {"id": {"any_": [id_of(run)]}}, "limit": 1}
    listed = await server.call("POST", "/flow_runs/filter", chosen)
    if [entry["id"] for entry in listed] != [id_of(run)]:
        raise CheckFailedError("a run is not found by its id")


async def check_scheduler(server: Server) -> str:
    """Check that a deployment with an interval schedule gets runs; removing it removes them."""
    async with CreatedObjects(server) as ours:
        flow = await ours.make("/flows", {"name": own_name()})
        deployment = await make_scheduled(ours, flow)
        runs = await wait_for_runs(server, deployment)
        await server.call("PATCH", deployment, {"paused": True})  # so that no worker starts one
    return f"{runs} runs scheduled"


async def make_scheduled(ours: CreatedObjects, flow: str) -> str:
    """Create a deployment of a flow with an interval schedule; return its path."""
    schedule = {"interval": SCHEDULE_INTERVAL_S, "anchor_date": "2026-01-01T00:00:00Z"}
    wanted = {
        "name": "smoke",
        "flow_id": id_of(flow),
        "schedules": [{"schedule": schedule, "active": True}],
    }
    return await ours.make("/deployments", wanted)


async def wait_for_runs(server: Server, deployment: str) -> int:
    """Wait until the scheduler created runs of a deployment; return how many."""
    chosen = {"deployments": {"id": {"any_": [id_of(deployment)]}}}
    server.waiting.last = "no run was scheduled"
    while True:
        count = await server.call("POST", "/flow_runs/count", chosen)
        if count:
            return int(count)
        await anyio.sleep(server.poll_s)
