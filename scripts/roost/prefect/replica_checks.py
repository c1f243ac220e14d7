"""Checks that several machines of one server share their work, as only a Redis between them allows.

Each check talks to certain machines: a request that any machine answers proves nothing about the
others. `Server.http` of each server here sends its requests to one machine.
"""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Sequence
from http import HTTPStatus
from itertools import pairwise

import anyio

from roost.prefect.events_check import make_event, wait_for_event
from roost.prefect.server import CheckFailedError, Server
from roost.prefect.test_objects import NAME_PREFIX, CreatedObjects, id_of, own_name
from roost.prefect.write_checks import make_scheduled, wait_for_runs

LEASE_S = 60
"""The shortest lease that Prefect gives."""
SETTLE_S = 6.0
"""Prefect's scheduler looks for new schedules every 5 s; a second one would have run by then."""
FAR_S = 0.02
"""From here on it is reported that a region is far: one request asks the database several times."""
ROUNDS = 7
_SHARED = "Do the machines use one Redis? Look at their logs."


async def check_lease_shared(machines: Sequence[Server], _: Server) -> str:
    """Take a concurrency lease on each machine, and renew it on the next one."""
    first = machines[0]
    async with CreatedObjects(first) as ours:
        name = f"{NAME_PREFIX}{secrets.token_hex(6)}"
        await ours.make("/v2/concurrency_limits", {"name": name, "limit": len(machines)})
        for taker, renewer in pairwise([*machines, first]):
            await _take_and_renew(name, taker, renewer)
    return f"taken on each of {len(machines)} machines, renewed on another"


async def _take_and_renew(name: str, taker: Server, renewer: Server) -> None:
    wanted = {"slots": 1, "names": [name], "mode": "concurrency", "lease_duration": LEASE_S}
    lease = await taker.call("POST", "/v2/concurrency_limits/increment-with-lease", wanted)
    path = f"/v2/concurrency_limits/leases/{lease['lease_id']}/renew"
    answer = await renewer.send("POST", path, {"lease_duration": LEASE_S})
    given_back = {"lease_id": lease["lease_id"]}
    await taker.call("POST", "/v2/concurrency_limits/decrement-with-lease", given_back)
    if not answer.is_success:
        raise CheckFailedError(
            f"a lease that one machine gave was answered {answer.status_code} by another", _SHARED
        )


async def check_events_shared(machines: Sequence[Server], _: Server) -> str:
    """Post an event to each machine, and wait until the next one returns it.

    No machine of the API stores events itself: the services' machine gets them through the Redis.
    """
    sent = [(reader, make_event(sender)) for sender, reader in pairwise([*machines, machines[0]])]
    for (_, event), sender in zip(sent, machines, strict=True):
        await sender.call("POST", "/events", [event])
    for reader, event in sent:
        await wait_for_event(reader, event)
    return f"posted to each of {len(machines)} machines, read on another"


async def check_runs_once(machines: Sequence[Server], _: Server) -> str:
    """Check that the runs of a schedule are made once, and seen by every machine."""
    first = machines[0]
    async with CreatedObjects(first) as ours:
        flow = await ours.make("/flows", {"name": own_name()})
        deployment = await make_scheduled(ours, flow)
        await wait_for_runs(first, deployment)
        await anyio.sleep(SETTLE_S)
        chosen = {"deployments": {"id": {"any_": [id_of(deployment)]}}}
        found = [await each.call("POST", "/flow_runs/filter", chosen) for each in machines]
        await first.call("PATCH", deployment, {"paused": True})
    times = [sorted(str(run["expected_start_time"]) for run in runs) for runs in found]
    if len(set(times[0])) != len(times[0]):
        raise CheckFailedError(
            f"{len(times[0])} runs were scheduled for {len(set(times[0]))} times"
        )
    if any(each != times[0] for each in times):
        raise CheckFailedError("the machines see different runs", "Do they use one database?")
    return f"{len(times[0])} runs, each once"


async def check_answers(machines: Sequence[Server], _: Server) -> str:
    """Check that each machine is healthy, which includes its Redis, and runs the version."""
    for server in machines:
        for path in ("/health", "/ready"):
            status = await server.status(path)
            if status != HTTPStatus.OK:
                raise CheckFailedError(f"one machine answers {status} to {path}")
        version = await server.call("GET", "/admin/version")
        if server.version and version != server.version:
            raise CheckFailedError(f"one machine runs Prefect {server.quote(str(version))}")
    return f"all {len(machines)} machines{await _distances(machines)}"


async def _distances(machines: Sequence[Server]) -> str:
    """Return how far the database is from each region, measured; empty where all are in one region.

    `/ready` asks the database once (Prefect's pool tests a connection before it lends it), and
    `/health` does not. So the difference is one question, without the way from the gate to the machine.
    """
    first_of = {server.region: server for server in reversed(machines)}
    if len(first_of) == 1:
        return ""
    waits = {region: await _database_s(server) for region, server in sorted(first_of.items())}
    measured = ", ".join(f"{wait * 1000:.0f} ms from {region}" for region, wait in waits.items())
    far = [region for region, wait in waits.items() if wait >= FAR_S]
    note = f". Far for {', '.join(far)}: each request asks it several times" if far else ""
    return f"; a question to the database takes {measured}{note}"


async def _database_s(server: Server) -> float:
    """Return the seconds of one question to the database, the median of some."""
    waits = []
    for _ in range(ROUNDS):
        begun = anyio.current_time()
        await server.status("/health")
        between = anyio.current_time()
        await server.status("/ready")
        waits.append((anyio.current_time() - between) - (between - begun))
    return max(0.0, statistics.median(waits))
