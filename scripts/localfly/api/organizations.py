"""Organizations, which exist as far as apps name them, and the lists of all their machines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import ApiState, answer, whole_number
from localfly.api.volumes import show_volume
from localfly.api_errors import ApiError
from localfly.state.records import App, Machine, Volume
from localfly.state.world import DYING_STATES, World

Json = dict[str, Any]
PERSONAL = "personal"
MOST = 1000
"""The most that one page of a list has, as Fly documents it."""
_Item = TypeVar("_Item", Machine, Volume)


def organizations(world: World) -> list[str]:
    """Return the slugs of all organizations: the personal one, and each that has an app."""
    others = {app.organization for app in world.apps.values()} - {PERSONAL}
    return [PERSONAL, *sorted(others)]


def organization_id(slug: str) -> str:
    """Return the id of an organization, which says nothing of its slug, as on Fly."""
    return hashlib.sha256(slug.encode()).hexdigest()[:16]


def organization_of(world: World, named: str) -> str:
    """Return the slug of an organization named by its slug or its id.

    Raises:
        ApiError: 404.
    """
    for slug in organizations(world):
        if named in (slug, organization_id(slug)):
            return slug
    raise ApiError(404, "Could not find Organization")


def apps_of(world: World, slug: str) -> list[App]:
    """Return the apps of an organization."""
    return [app for app in world.apps.values() if app.organization == slug]


async def list_org_machines(api: ApiState, request: Request) -> Response:
    """GET /orgs/{org}/machines: the machines of all apps, page by page."""
    world = api.world
    apps = _apps(api, request)
    gone = frozenset({"destroyed"})
    page, more = _page([m for m in world.machines.values() if m.app in apps], request, gone)
    shown = [_show_machine(machine) for machine in page]
    last = {"last_machine_id": page[-1].id, "last_updated_at": page[-1].updated_at} if page else {}
    return answer({"machines": shown, "error_regions": [], "next_cursor": more, **last})


async def list_org_volumes(api: ApiState, request: Request) -> Response:
    """GET /orgs/{org}/volumes: the volumes of all apps, page by page."""
    world = api.world
    apps = _apps(api, request)
    gone = frozenset(DYING_STATES)
    page, more = _page([v for v in world.volumes.values() if v.app in apps], request, gone)
    shown = [_show_volume(world, volume) for volume in page]
    last = {"last_volume_id": page[-1].id, "last_updated_at": page[-1].created_at} if page else {}
    return answer({"volumes": shown, "next_cursor": more, **last})


def _apps(api: ApiState, request: Request) -> set[str]:
    slug = organization_of(api.world, request.path_params["org"])
    return {app.name for app in apps_of(api.world, slug)}


def _page(
    found: Sequence[_Item], request: Request, gone: frozenset[str]
) -> tuple[list[_Item], str]:
    """Return the items that the query asks for, by id, and the cursor of the next page."""
    query = request.query_params
    limit = whole_number(query.get("limit"), MOST, "limit")
    if not 1 <= limit <= MOST:
        raise ApiError(400, f"invalid_argument: limit must be from 1 to {MOST}")
    fits = _filter(query, gone)
    cursor = query.get("cursor") or ""
    wanted = sorted((i for i in found if fits(i) and i.id > cursor), key=lambda item: item.id)
    page = wanted[:limit]
    return page, page[-1].id if len(wanted) > limit else ""


def _filter(query: QueryParams, gone: frozenset[str]) -> Callable[[Machine | Volume], bool]:
    states = [part for value in query.getlist("state") for part in value.split(",") if part]
    region, after = query.get("region"), query.get("updated_after") or ""
    deleted = query.get("include_deleted") == "true"

    def fits(item: Machine | Volume) -> bool:
        changed = item.updated_at if isinstance(item, Machine) else item.created_at
        return (
            (deleted or item.state not in gone)
            and (not states or item.state in states)
            and (not region or item.region == region)
            and changed > after
        )

    return fits


def _show_volume(world: World, volume: Volume) -> Json:
    """Return a volume; by Fly's document a field without a value is left out here."""
    shown = {**show_volume(world, volume), "app_name": volume.app, "updated_at": volume.created_at}
    return {name: value for name, value in shown.items() if value is not None}


def _show_machine(machine: Machine) -> Json:
    config = machine.config
    return {
        "app_name": machine.app,
        "id": machine.id,
        "name": machine.name,
        "state": machine.state,
        "region": machine.region,
        "version": machine.instance_id,
        "instance_id": machine.instance_id,
        "private_ip": machine.address,
        "created_at": machine.created_at,
        "updated_at": machine.updated_at,
        "config": {
            "image": config["image"],
            "guest": config["guest"],
            "metadata": config.get("metadata") or {},
        },
    }
