"""Canary rows: a few flow runs on a rehearsed server, to see whether a change keeps them."""

from __future__ import annotations

import httpx

from roost.prefect.server import NOT_PREFECT, CheckFailedError, Server, with_csrf

ROWS = 5
TROUBLE = (CheckFailedError, httpx.HTTPError, *NOT_PREFECT)
"""What the calls raise if the server does not answer as a Prefect server does."""


async def write_rows(server: Server, count: int = ROWS) -> tuple[str, ...]:
    """Write flow runs and return the ids that the server acknowledged."""
    server = await with_csrf(server)
    flow = await server.call("POST", "/flows/", {"name": "rehearsal"})
    wanted = {"flow_id": flow["id"], "name": "rehearsal", "state": {"type": "PENDING"}}
    rows = [await server.call("POST", "/flow_runs/", wanted) for _ in range(count)]
    return tuple(str(row["id"]) for row in rows)


async def count_canary_rows(server: Server, rows: tuple[str, ...]) -> int:
    """Return how many of the rows the server still has."""
    server = await with_csrf(server)
    chosen = {"flow_runs": {"id": {"any_": list(rows)}}, "limit": len(rows)}
    return len(await server.call("POST", "/flow_runs/filter", chosen))
