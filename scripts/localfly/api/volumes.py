"""Endpoints of volumes and their snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import (
    ApiState,
    answer,
    app_of,
    host_status,
    read_json,
    refuse_unknown,
    require,
)
from localfly.api_errors import ApiError, not_found
from localfly.config.machine_config import check_guest
from localfly.config.regions import check_region
from localfly.state.ids import volume_id
from localfly.state.records import Volume
from localfly.state.world import World, folder_bytes

Json = dict[str, Any]
DEFAULT_GB, MAX_GB = 3, 500
DEFAULT_RETENTION, MAX_RETENTION = 5, 60
_NAME = re.compile(r"[a-z0-9_]{1,30}", re.ASCII)
BLOCK = 4096
_FIELDS = (
    *("name", "region", "size_gb", "encrypted", "fstype", "snapshot_id", "source_volume_id"),
    *("snapshot_retention", "auto_backup_enabled", "require_unique_zone", "unique_zone_app_wide"),
    *("compute", "compute_image"),
)


def volume_of(api: ApiState, request: Request) -> Volume:
    """Return the volume that the path names.

    Raises:
        ApiError: 404.
    """
    app = app_of(api, request)
    return api.world.volume(app.name, request.path_params["volume"])


def show_volume(world: World, volume: Volume) -> Json:
    """Return the API's representation of a volume; its used size is that of the folder."""
    folder = world.volume_folder(volume.id)
    used = folder_bytes(folder)
    total = volume.size_gb * 1024**3
    free = max(0, total - used) // BLOCK
    return {
        "id": volume.id,
        "name": volume.name,
        "state": volume.state,
        "size_gb": volume.size_gb,
        "region": volume.region,
        "zone": "local",
        "encrypted": volume.encrypted,
        "attached_machine_id": volume.attached_machine_id,
        "attached_alloc_id": None,
        "created_at": volume.created_at,
        "blocks": total // BLOCK,
        "block_size": BLOCK,
        "blocks_free": free,
        "blocks_avail": free,
        "bytes_used": used,
        "bytes_total": total,
        "fstype": volume.fstype,
        "snapshot_retention": volume.snapshot_retention,
        "auto_backup_enabled": volume.auto_backup_enabled,
        "host_status": host_status(answers=world.hosts.answers(volume.host)),
        "type": "local",
    }


async def list_volumes(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/volumes."""
    world, app = api.world, app_of(api, request)
    return answer([show_volume(world, volume) for volume in world.volumes_of(app.name)])


async def create_volume(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/volumes: an empty one, or a copy of a snapshot or a volume."""
    app, body = app_of(api, request), await read_json(request)
    _check_wanted(body)
    source = _source(api.world, app.name, body)
    volume = _new_volume(app.name, body, source.least_gb if source else 1)
    volume.host = api.world.hosts.new()
    async with contextlib.AsyncExitStack() as stack:
        if source and source.busy:
            await stack.enter_async_context(api.machines.frozen_writer(source.busy))
        await asyncio.to_thread(
            api.world.create_volume_data, volume, source.folder if source else None
        )
    api.world.add_volume(volume)
    return answer(show_volume(api.world, volume))


def _check_wanted(body: Json) -> None:
    refuse_unknown(body, *_FIELDS)
    require(body, name=str, region=str, size_gb=int, encrypted=bool, snapshot_retention=int)
    require(body, fstype=str, snapshot_id=str, source_volume_id=str, auto_backup_enabled=bool)
    require(body, require_unique_zone=bool, unique_zone_app_wide=bool, compute_image=str)
    require(body, compute=dict)
    if not body.get("name"):
        raise ApiError(400, "invalid_argument: name is required")
    if not _NAME.fullmatch(body["name"]):
        raise ApiError(
            400,
            "invalid_argument: a volume's name has at most 30 lowercase letters, digits and _",
        )
    if body.get("compute"):
        check_guest({"cpu_kind": "shared", "cpus": 1, "memory_mb": 256, **body["compute"]})


def _new_volume(app: str, body: Json, least_gb: int) -> Volume:
    size = body.get("size_gb") or max(DEFAULT_GB, least_gb)
    if not least_gb <= size <= MAX_GB:
        raise ApiError(400, f"invalid_argument: size_gb must be from {least_gb} to {MAX_GB}")
    retention = body.get("snapshot_retention") or DEFAULT_RETENTION
    _check_retention(retention)
    return Volume(
        id=volume_id(),
        app=app,
        name=body["name"],
        region=check_region(body.get("region")),
        size_gb=size,
        encrypted=body.get("encrypted") is not False,
        fstype=body.get("fstype") or "ext4",
        snapshot_retention=retention,
        auto_backup_enabled=body.get("auto_backup_enabled") is not False,
    )


@dataclass(frozen=True)
class _Source:
    """The data for a new volume; `busy` is a source that a machine may write to."""

    folder: Path
    least_gb: int
    busy: Volume | None = None


def _source(world: World, app: str, body: Json) -> _Source | None:
    if body.get("source_volume_id"):
        other = world.volume(app, body["source_volume_id"])
        if not world.hosts.answers(other.host):
            raise ApiError(503, f"unavailable: the host of volume {other.id} does not answer")
        return _Source(world.volume_folder(other.id), other.size_gb, other)
    wanted = body.get("snapshot_id")
    if not wanted:
        return None
    owner = world.app(app).organization
    for volume in world.volumes.values():
        same = volume.app in world.apps and world.app(volume.app).organization == owner
        for snapshot in volume.snapshots if same else ():
            if snapshot["id"] == wanted and snapshot["status"] == "created":
                return _Source(world.snapshot_folder(wanted), snapshot["volume_size"] // 1024**3)
    raise not_found(f"snapshot {wanted}")


async def get_volume(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/volumes/{volume}."""
    return answer(show_volume(api.world, volume_of(api, request)))


async def update_volume(api: ApiState, request: Request) -> Response:
    """PUT /apps/{app}/volumes/{volume}: changes the retention and the backups."""
    world, volume, body = api.world, volume_of(api, request), await read_json(request)
    refuse_unknown(body, "snapshot_retention", "auto_backup_enabled")
    require(body, snapshot_retention=int, auto_backup_enabled=bool)
    if body.get("snapshot_retention") is not None:
        _check_retention(body["snapshot_retention"])
        volume.snapshot_retention = body["snapshot_retention"]
    if body.get("auto_backup_enabled") is not None:
        volume.auto_backup_enabled = body["auto_backup_enabled"]
    world.save(volume)
    return answer(show_volume(world, volume))


def _check_retention(days: int) -> None:
    if not 1 <= days <= MAX_RETENTION:
        raise ApiError(
            400, f"invalid_argument: snapshot_retention must be from 1 to {MAX_RETENTION}"
        )


async def extend_volume(api: ApiState, request: Request) -> Response:
    """PUT …/extend: increases the size."""
    world, volume, body = api.world, volume_of(api, request), await read_json(request)
    refuse_unknown(body, "size_gb")
    require(body, size_gb=int)
    size = body.get("size_gb") or 0
    if not volume.size_gb <= size <= MAX_GB:
        raise ApiError(400, f"invalid_argument: size_gb must be from {volume.size_gb} to {MAX_GB}")
    volume.size_gb = size
    world.save(volume)
    return answer({"volume": show_volume(world, volume), "needs_restart": False})


async def delete_volume(api: ApiState, request: Request) -> Response:
    """DELETE /apps/{app}/volumes/{volume}: the data is recoverable for a day."""
    world, volume = api.world, volume_of(api, request)
    world.destroy_volume(volume)
    return answer(show_volume(world, volume))


async def list_snapshots(api: ApiState, request: Request) -> Response:
    """GET …/snapshots."""
    return answer(volume_of(api, request).snapshots)


async def create_snapshot(api: ApiState, request: Request) -> Response:
    """POST …/snapshots: starts one; the list shows its status."""
    api.machines.begin_snapshot(volume_of(api, request))
    return answer({"ok": True})
