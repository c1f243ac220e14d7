"""Endpoints of apps, their IP addresses and their secrets."""

from __future__ import annotations

import re
import secrets as random_values
from datetime import datetime
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
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
MAX_IPS = 50
IP_TYPES = ("v4", "shared_v4", "v6", "private_v6")


def show_app(world: World, app: App) -> Json:
    """Return the API's representation of an app."""
    machines = world.machines_of(app.name)
    return {
        "id": app.id,
        "internal_numeric_id": app.number,
        "name": app.name,
        "network": app.network,
        "status": "deployed" if machines else "pending",
        "machine_count": len(machines),
        "volume_count": len(list(world.volumes_of(app.name))),
        "organization": {
            "name": app.organization,
            "slug": app.organization,
            "internal_numeric_id": 1,
        },
    }


async def create_app(api: ApiState, request: Request) -> Response:
    """POST /apps."""
    body = await read_json(request)
    refuse_unknown(
        body, "name", "app_name", "org_slug", "network", "enable_subdomains", "app_role_id"
    )
    require(body, name=str, app_name=str, org_slug=str, network=str)
    # Fly's document calls it `name`, Fly's documentation and most clients `app_name`.
    name = body.get("name") or body.get("app_name") or ""
    if body.get("app_name") not in (None, "", name):
        raise ApiError(400, "invalid_argument: name and app_name are two names")
    if not _NAME.fullmatch(name):
        raise ApiError(
            422, "Validation failed: Name may only contain lowercase letters, numbers and dashes"
        )
    if not body.get("org_slug"):
        raise ApiError(400, "invalid_argument: org_slug is required")
    app = api.world.create_app(name, body["org_slug"], body.get("network") or "default")
    # The documentation shows `id` and `created_at`; flyctl reads the answer as an app.
    created = {"created_at": 1000 * int(_epoch(app.created_at))}
    return answer({**show_app(api.world, app), **created}, 201)


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


async def list_apps(api: ApiState, request: Request) -> Response:
    """GET /apps?org_slug=."""
    wanted = request.query_params.get("org_slug")
    if not wanted:
        raise ApiError(400, "invalid_argument: org_slug is required")
    world = api.world
    found = [show_app(world, app) for app in world.apps.values() if app.organization == wanted]
    return answer({"total_apps": len(found), "apps": found})


async def get_app(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}."""
    return answer(show_app(api.world, app_of(api, request)))


async def delete_app(api: ApiState, request: Request) -> Response:
    """DELETE /apps/{app}: also deletes its machines and volumes."""
    app = app_of(api, request)
    for machine in api.world.machines_of(app.name):
        await api.machines.destroy_machine(machine, force=True)
    await api.close_app(app.name)
    api.world.delete_app(app.name)
    return nothing(202)


# Addresses


async def list_ips(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/ip_assignments."""
    return answer({"ips": app_of(api, request).ips})


async def assign_ip(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/ip_assignments."""
    app = app_of(api, request)
    body = await read_json(request)
    refuse_unknown(body, "type", "region", "org_slug", "network", "service_name")
    require(body, type=str, region=str, org_slug=str, network=str, service_name=str)
    kind = body.get("type")
    if kind not in IP_TYPES:
        raise ApiError(400, f"invalid_argument: type must be one of {', '.join(IP_TYPES)}")
    if len(app.ips) >= MAX_IPS:
        raise ApiError(422, f"an app has at most {MAX_IPS} addresses here")
    if kind == "shared_v4" and any(ip["shared"] for ip in app.ips):
        raise ApiError(409, "app already has a shared v4 address")
    ip = {
        "ip": _free_address(app, kind),
        "region": body.get("region") or "global",
        "service_name": body.get("service_name") or "",
        "shared": kind == "shared_v4",
        "type": kind,
        "created_at": timestamp(),
    }
    app.ips.append(ip)
    api.world.save(app)
    return answer(ip)


def _free_address(app: App, kind: str) -> str:
    taken = {ip["ip"] for ip in app.ips}
    return next(address for address in iter(lambda: _address(kind), "") if address not in taken)


def _address(kind: str) -> str:
    """Return an address of a documentation range; nothing is routed to it."""
    tail = ":".join(random_values.token_hex(2) for _ in range(2))
    match kind:
        case "v6":
            return f"2001:db8:1::{tail}"
        case "private_v6":
            return f"fdaa:0:1:0:1::{tail}"
        case _:
            return f"192.0.2.{random_values.randbelow(254) + 1}"


async def release_ip(api: ApiState, request: Request) -> Response:
    """DELETE /apps/{app}/ip_assignments/{ip}."""
    app, wanted = app_of(api, request), request.path_params["ip"]
    if all(ip["ip"] != wanted for ip in app.ips):
        raise not_found(f"IP address {wanted}")
    app.ips = [ip for ip in app.ips if ip["ip"] != wanted]
    api.world.save(app)
    return nothing()


# Secrets: no endpoint returns a value.


def show_secret(name: str, secret: Json) -> Json:
    """Return a secret without its value."""
    return {
        "name": name,
        "digest": secret["digest"],
        "created_at": secret["created_at"],
        "updated_at": secret["updated_at"],
    }


async def list_secrets(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/secrets."""
    app = app_of(api, request)
    _check_min_version(request, app)
    return answer({"secrets": [show_secret(name, s) for name, s in sorted(app.secrets.items())]})


async def get_secret(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/secrets/{name}."""
    app, name = app_of(api, request), request.path_params["name"]
    _check_min_version(request, app)
    if name not in app.secrets:
        raise not_found(f"secret {name}")
    return answer(show_secret(name, app.secrets[name]))


async def set_secrets(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/secrets: sets several in one transaction; null unsets one."""
    app = app_of(api, request)
    body = await read_json(request)
    refuse_unknown(body, "values")
    values = body.get("values")
    if not isinstance(values, dict):
        raise ApiError(400, "invalid_argument: values must be an object")
    for name, value in values.items():
        _check_secret(name, value)
    api.world.set_secrets(app, values)
    shown = [show_secret(name, s) for name, s in sorted(app.secrets.items())]
    return answer(_versioned(app, {"secrets": shown}))


async def set_secret(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/secrets/{name}."""
    app, name = app_of(api, request), request.path_params["name"]
    body = await read_json(request)
    refuse_unknown(body, "value")
    if body.get("value") is None:
        raise ApiError(400, "invalid_argument: value is required")
    _check_secret(name, body["value"])
    api.world.set_secrets(app, {name: body["value"]})
    return answer(_versioned(app, show_secret(name, app.secrets[name])), 201)


async def delete_secret(api: ApiState, request: Request) -> Response:
    """DELETE /apps/{app}/secrets/{name}."""
    app, name = app_of(api, request), request.path_params["name"]
    if name not in app.secrets:
        raise not_found(f"secret {name}")
    api.world.set_secrets(app, {name: None})
    return answer(_versioned(app, {}))


def _versioned(app: App, body: Json) -> Json:
    return {**body, "version": app.secrets_version, "Version": app.secrets_version}


def _check_secret(name: str, value: Any) -> None:
    if not _SECRET.fullmatch(name):
        raise ApiError(400, f"invalid_argument: {name!r} is not a secret's name")
    if value is not None and not isinstance(value, str):
        raise ApiError(400, f"invalid_argument: the value of {name} must be a string or null")


def _check_min_version(request: Request, app: App) -> None:
    wanted = request.query_params.get("min_version") or request.query_params.get("version") or "0"
    if not wanted.isdigit():
        raise ApiError(400, "invalid_argument: min_version must be a number")
    if int(wanted) > app.secrets_version:
        raise ApiError(412, f"failed_precondition: secrets are at version {app.secrets_version}")
