"""Endpoints of leases: only the holder of the nonce may change a leased machine."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import (
    ApiState,
    answer,
    machine_of,
    nonce,
    read_json,
    refuse_unknown,
    require,
    whole_number,
)
from localfly.api_errors import ApiError, not_found
from localfly.state.records import Lease

Json = dict[str, Any]
LEASE_DEFAULT_S = 30
LEASE_LIMIT_S = 24 * 60 * 60


def _envelope(lease: Lease) -> Json:
    return {"status": "success", "data": lease.document()}


def check_lease_ttl(ttl_s: int) -> int:
    """Return the seconds of a lease if they are in range.

    Raises:
        ApiError: 400.
    """
    if not 1 <= ttl_s <= LEASE_LIMIT_S:
        raise ApiError(400, f"invalid_argument: ttl must be from 1 to {LEASE_LIMIT_S} seconds")
    return ttl_s


async def get_lease(api: ApiState, request: Request) -> Response:
    """GET …/lease."""
    lease = machine_of(api, request).current_lease
    if lease is None:
        raise not_found("lease")
    return answer(_envelope(lease))


async def acquire_lease(api: ApiState, request: Request) -> Response:
    """POST …/lease: take the lease, or extend it with its nonce."""
    machine, body = machine_of(api, request), await read_json(request)
    refuse_unknown(body, "ttl", "description")
    require(body, ttl=int, description=str)
    asked = whole_number(request.query_params.get("ttl"), LEASE_DEFAULT_S, "ttl")
    ttl = check_lease_ttl(body.get("ttl") or asked)
    lease = api.world.take_lease(machine, ttl, body.get("description") or "", nonce(request))
    return answer(_envelope(lease), 201)


async def release_lease(api: ApiState, request: Request) -> Response:
    """DELETE …/lease."""
    api.world.drop_lease(machine_of(api, request), nonce(request))
    return answer({"status": "success", "data": {"ok": True}})
