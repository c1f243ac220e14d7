"""Count the objects of a Prefect server by its API."""

from __future__ import annotations

import httpx

from roost.prefect.server import NOT_PREFECT, CheckFailedError, Server

COUNTED = ("flows", "flow_runs", "deployments", "variables", "block_documents")


async def count_objects(server: Server) -> dict[str, int]:
    """Return the number of objects of each kind; a kind that cannot be counted is left out."""
    found: dict[str, int] = {}
    for kind in COUNTED:
        try:
            answer = await server.call("POST", f"/{kind}/count", {})
            found[kind] = int(answer)
        except (CheckFailedError, httpx.HTTPError, *NOT_PREFECT):
            continue
    return found


def counts_text(rows: dict[str, int]) -> str:
    """Return the counts in words, such as `3 flows, 12 flow runs`."""
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in rows.items())
