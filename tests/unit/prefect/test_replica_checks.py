"""What the gate measures between the machines of a replicated server and their database."""

from __future__ import annotations

import anyio
import httpx
import pytest

from roost.prefect.replica_checks import check_answers
from roost.prefect.server import Server


def machine(region, database_s=0.0):
    """Return a machine in a region, whose database is so far away."""

    async def answer(request):
        if request.url.path == "/api/ready":
            await anyio.sleep(database_s)
        if request.url.path == "/api/admin/version":
            return httpx.Response(200, json="3.9.1")
        return httpx.Response(200, json=True)

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://server")
    return Server(http, version="3.9.1", region=region)


@pytest.mark.anyio
async def test_a_region_far_from_the_database_is_named_with_what_was_measured():
    machines = [machine("iad"), machine("fra", 0.2), machine("iad")]

    found = await check_answers(machines, machines[0])

    assert found.startswith("all 3 machines; a question to the database takes ")
    assert " ms from fra, " in found
    assert found.endswith("Far for fra: each request asks it several times")


@pytest.mark.anyio
async def test_machines_in_one_region_are_not_measured():
    machines = [machine("iad"), machine("iad")]

    assert await check_answers(machines, machines[0]) == "all 2 machines"
