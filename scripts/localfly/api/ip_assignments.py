"""Endpoints of an app's IP addresses."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import (
    ApiState,
    answer,
    app_of,
    nothing,
    read_json,
    refuse_unknown,
    require,
)
from localfly.api_errors import ApiError, not_found
from localfly.state.records import App, timestamp
from localfly.state.world import World

Json = dict[str, Any]
MAX_IPS = 50
IP_TYPES = ("v4", "shared_v4", "v6", "private_v6")


async def list_ips(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/ip_assignments."""
    return answer({"ips": app_of(api, request).ips})


async def assign_ip(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/ip_assignments."""
    app = app_of(api, request)
    body = await read_json(request)
    refuse_unknown(body, "type", "region", "org_slug", "network", "service_name")
    require(body, type=str, region=str, org_slug=str, network=str, service_name=str)
    kind, region, service = body.get("type"), body.get("region"), body.get("service_name")
    return answer(assign(api.world, app, kind, region, service))


def assign(
    world: World, app: App, kind: str | None, region: str | None, service_name: str | None
) -> Json:
    """Assign a new address to an app, and return it.

    Raises:
        ApiError: 400 for an unknown type, 409 for a second shared address, 422 for too many.
    """
    if kind not in IP_TYPES:
        raise ApiError(400, f"invalid_argument: type must be one of {', '.join(IP_TYPES)}")
    if len(app.ips) >= MAX_IPS:
        raise ApiError(422, f"an app has at most {MAX_IPS} addresses here")
    if kind == "shared_v4" and any(ip["shared"] for ip in app.ips):
        raise ApiError(409, "app already has a shared v4 address")
    ip = {
        "ip": _free_address(app, kind),
        "region": region or "global",
        "service_name": service_name or "",
        "shared": kind == "shared_v4",
        "type": kind,
        "created_at": timestamp(),
    }
    app.ips.append(ip)
    world.save(app)
    return ip


def _free_address(app: App, kind: str) -> str:
    taken = {ip["ip"] for ip in app.ips}
    return next(address for address in iter(lambda: _address(kind), "") if address not in taken)


def _address(kind: str) -> str:
    """Return an address of a documentation range; nothing is routed to it."""
    tail = ":".join(secrets.token_hex(2) for _ in range(2))
    match kind:
        case "v6":
            return f"2001:db8:1::{tail}"
        case "private_v6":
            return f"fdaa:0:1:0:1::{tail}"
        case _:
            return f"192.0.2.{secrets.randbelow(254) + 1}"


async def release_ip(api: ApiState, request: Request) -> Response:
    """DELETE /apps/{app}/ip_assignments/{ip}."""
    release(api.world, app_of(api, request), request.path_params["ip"])
    return nothing()


def release(world: World, app: App, address: str) -> None:
    """Release an address of an app.

    Raises:
        ApiError: 404.
    """
    if all(ip["ip"] != address for ip in app.ips):
        raise not_found(f"IP address {address}")
    app.ips = [ip for ip in app.ips if ip["ip"] != address]
    world.save(app)
