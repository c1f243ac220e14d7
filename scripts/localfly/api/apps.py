"""Endpoints of apps and their secrets."""

from __future__ import annotations

import re
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
from localfly.state.records import App
from localfly.state.world import World

Json = dict[str, Any]
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
NO_BUILDERS = "the local Fly has no builders for a Dockerfile; use: localfly image build"
REMOTE_BUILDER = "remote-docker-builder"
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def is_deployed(world: World, app: App) -> bool:
    """Return whether an app counts as deployed: it has a machine."""
    return bool(world.machines_of(app.name))


def show_app(world: World, app: App) -> Json:
    """Return the API's representation of an app."""
    machines = world.machines_of(app.name)
    return {
        "id": app.id,
        "internal_numeric_id": app.number,
        "name": app.name,
        "network": app.network,
        "status": "deployed" if is_deployed(world, app) else "pending",
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
    require(body, name=str, app_name=str, org_slug=str, network=str, app_role_id=str)
    if body.get("app_role_id") == REMOTE_BUILDER:
        raise ApiError(501, NO_BUILDERS)
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
    network, role = body.get("network") or "default", body.get("app_role_id") or ""
    app = api.world.create_app(name, body["org_slug"], network, role)
    # The documentation shows `id` and `created_at`; flyctl reads the answer as an app.
    created = {"created_at": 1000 * int(_epoch(app.created_at))}
    return answer({**show_app(api.world, app), **created}, 201)


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


async def list_apps(api: ApiState, request: Request) -> Response:
    """GET /apps?org_slug=&app_role=: flyctl deletes what it takes for its builder by the role."""
    wanted = request.query_params.get("org_slug")
    if not wanted:
        raise ApiError(400, "invalid_argument: org_slug is required")
    world = api.world
    role = request.query_params.get("app_role")
    found = [
        show_app(world, app)
        for app in world.apps.values()
        if app.organization == wanted and role in (None, "", app.role)
    ]
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
        check_secret(name, value)
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
    check_secret(name, body["value"])
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


def check_secret(name: str, value: Any) -> None:
    """Check a secret's name and value.

    Raises:
        ApiError: 400.
    """
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
