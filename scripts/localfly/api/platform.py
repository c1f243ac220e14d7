"""Endpoints of regions and placements."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import ApiState, answer, read_json, refuse_unknown, require
from localfly.api_errors import ApiError
from localfly.config.machine_config import check_guest
from localfly.config.regions import DEFAULT, REGIONS, Region, check_region

Json = dict[str, Any]

ROOM = 50
"""The machines that an organization may have in a region, as placements report it."""
# The aliases that Fly's document names.
_ALIASES = {
    "any": tuple(region.code for region in REGIONS),
    "eu": tuple(region.code for region in REGIONS if region.part == "europe"),
}
_PLACEMENT_FIELDS = ("org_slug", "region", "count", "compute", "volume_name", "volume_size_bytes")


async def list_regions(_api: ApiState, _request: Request) -> Response:
    """GET /platform/regions."""
    return answer({"nearest": DEFAULT, "regions": [show_region(region) for region in REGIONS]})


def show_region(region: Region) -> Json:
    """Return the API's representation of a region."""
    return {
        "code": region.code,
        "name": region.name,
        "latitude": region.latitude,
        "longitude": region.longitude,
        "gateway_available": True,
        "requires_paid_plan": False,
        "deprecated": False,
        "geo_region": region.part,
    }


async def place(_api: ApiState, request: Request) -> Response:
    """POST /platform/placements: the local Fly always has room."""
    body = await read_json(request)
    refuse_unknown(body, *_PLACEMENT_FIELDS, "weights")
    require(body, org_slug=str, region=str, count=int, compute=dict, volume_name=str, weights=dict)
    require(body, volume_size_bytes=int)
    if not body.get("org_slug"):
        raise ApiError(400, "invalid_argument: org_slug is required")
    if body.get("compute"):
        check_guest({"cpu_kind": "shared", "cpus": 1, "memory_mb": 256, **body["compute"]})
    if any(not isinstance(weight, int) for weight in (body.get("weights") or {}).values()):
        raise ApiError(400, "invalid_argument: weights must be an object of whole numbers")
    count = body.get("count") or 0
    if count < 0:
        raise ApiError(400, "invalid_argument: count cannot be negative")
    wanted = _regions(body.get("region") or f"{DEFAULT},any")
    # There is always room, so that the first region takes all; 0 asks for the limit of each.
    placed = [(wanted[0], count)] if count else [(code, ROOM) for code in wanted]
    return answer(
        {"regions": [{"region": code, "count": n, "concurrency": 1} for code, n in placed]}
    )


def _regions(expression: str) -> list[str]:
    """Return the codes of a list of regions and aliases, each once.

    Raises:
        ApiError: 400 for one that does not exist.
    """
    found: dict[str, None] = {}
    for part in expression.split(","):
        codes = _ALIASES.get(part, (part,))
        found |= dict.fromkeys(check_region(code) for code in codes)
    return list(found)
