"""Endpoints of releases below `/api/v1`: flyctl's records of its deploys.

Fly keeps them for flyctl; a change by the Machines API alone makes none.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import (
    ApiState,
    answer,
    app_of,
    read_json,
    refuse_unknown,
    require,
    whole_number,
)
from localfly.api_errors import ApiError, not_found
from localfly.state.records import App, timestamp

Json = dict[str, Any]
STRATEGIES = ("BLUEGREEN", "CANARY", "IMMEDIATE", "ROLLING", "ROLLING_ONE", "SIMPLE")
STATUSES = ("pending", "running", "complete", "failed", "interrupted")
MOST = 100
"""The releases that are kept of an app."""


def _show(record: Json) -> Json:
    return {
        "id": record["id"],
        "version": record["version"],
        "stable": record["status"] == "complete",
        "in_progress": record["status"] in ("pending", "running"),
        "status": record["status"],
        "strategy": record["strategy"],
        "user": "local@localfly",
        "created_at": record["created_at"],
        "image_ref": record["image_ref"],
    }


async def create_release(api: ApiState, request: Request) -> Response:
    """POST /api/v1/releases: note a deploy that begins."""
    body = await read_json(request)
    refuse_unknown(body, "app_name", "build_id", "definition", "image", "strategy")
    require(body, app_name=str, build_id=int, definition=dict, image=str, strategy=str)
    app = api.world.app(body.get("app_name") or "")
    strategy = (body.get("strategy") or "ROLLING").upper()
    if strategy not in STRATEGIES:
        raise ApiError(400, f"invalid_argument: strategy must be one of {', '.join(STRATEGIES)}")
    now = timestamp()
    record = {
        "id": str(uuid.uuid4()),
        "version": 1 + (app.releases[0]["version"] if app.releases else 0),
        "status": "pending",
        "strategy": strategy,
        "image_ref": body.get("image") or "",
        "definition": body.get("definition"),
        "created_at": now,
        "updated_at": now,
    }
    app.releases.insert(0, record)
    del app.releases[MOST:]
    api.world.save(app)
    return answer({"release": _show(record)}, 201)


async def update_release(api: ApiState, request: Request) -> Response:
    """PATCH /api/v1/releases/{release}: set the status of a deploy."""
    body = await read_json(request)
    refuse_unknown(body, "status", "metadata")
    if body.get("status") not in STATUSES:
        raise ApiError(400, f"invalid_argument: status must be one of {', '.join(STATUSES)}")
    app, record = _find(api, request.path_params["release"])
    record.update(status=body["status"], updated_at=timestamp())
    api.world.save(app)
    return answer(_show(record))


def _find(api: ApiState, key: str) -> tuple[App, Json]:
    for app in api.world.apps.values():
        for record in app.releases:
            if record["id"] == key:
                return app, record
    raise not_found(f"release {key}")


async def list_releases(api: ApiState, request: Request) -> Response:
    """GET /api/v1/apps/{app}/releases, newest first."""
    limit = whole_number(request.query_params.get("limit"), MOST, "limit")
    return answer({"releases": [_show(r) for r in app_of(api, request).releases[:limit]]})


async def current_release(api: ApiState, request: Request) -> Response:
    """GET /api/v1/apps/{app}/releases/current; 404 for an app without one."""
    app = app_of(api, request)
    if not app.releases:
        raise not_found(f"release of app {app.name}")
    return answer(_show(app.releases[0]))


async def all_current_releases(api: ApiState, _: Request) -> Response:
    """GET /api/v1/releases/all_current: when each app was last deployed."""
    apps = api.world.apps.values()
    return answer({app.name: app.releases[0]["created_at"] for app in apps if app.releases})
