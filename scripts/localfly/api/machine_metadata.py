"""Endpoints of a machine's metadata, which is part of its config."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import (
    ApiState,
    answer,
    machine_of,
    nothing,
    read_json,
    refuse_unknown,
    require,
)
from localfly.api_errors import ApiError, not_found, precondition
from localfly.state.records import Machine

Json = dict[str, Any]


def metadata_of(machine: Machine) -> dict[str, str]:
    """Return the metadata of a machine's config, by key."""
    return machine.config.get("metadata") or {}


async def get_metadata(api: ApiState, request: Request) -> Response:
    """GET …/metadata."""
    return answer(metadata_of(machine_of(api, request)))


async def replace_metadata(api: ApiState, request: Request) -> Response:
    """PUT …/metadata: replace all keys."""
    return await _write_metadata(api, request, merge=False)


async def merge_metadata(api: ApiState, request: Request) -> Response:
    """PATCH …/metadata: merge the given keys."""
    return await _write_metadata(api, request, merge=True)


async def _write_metadata(api: ApiState, request: Request, *, merge: bool) -> Response:
    machine, body = machine_of(api, request), await read_json(request)
    refuse_unknown(body, "metadata", "machine_version", "updated_at")
    _check_unchanged(machine, body)
    values = body.get("metadata")
    if not isinstance(values, dict) or not all(isinstance(v, str | None) for v in values.values()):
        raise ApiError(400, "invalid_argument: metadata must be an object of strings")
    _keep(machine, {**(metadata_of(machine) if merge else {}), **values})
    api.world.save(machine)
    return nothing()


def _check_unchanged(machine: Machine, body: Json) -> None:
    """Check the preconditions of a write.

    Raises:
        ApiError: 412 with the current value, 400 for a value that is not a string.
    """
    require(body, machine_version=str, updated_at=str)
    for name, now in (("machine_version", machine.instance_id), ("updated_at", machine.updated_at)):
        if body.get(name) and body[name] != now:
            raise precondition(f"{name} is {now}, not {body[name]}")


async def get_metadata_key(api: ApiState, request: Request) -> Response:
    """GET …/metadata/{key}."""
    key = request.path_params["key"]
    found = metadata_of(machine_of(api, request))
    if key not in found:
        raise not_found(f"metadata {key}")
    return answer({"value": found[key]})


async def set_metadata_key(api: ApiState, request: Request) -> Response:
    """POST …/metadata/{key}."""
    machine, body = machine_of(api, request), await read_json(request)
    refuse_unknown(body, "value", "updated_at")
    _check_unchanged(machine, body)
    if not isinstance(body.get("value"), str):
        raise ApiError(400, "invalid_argument: value must be a string")
    _keep(machine, {**metadata_of(machine), request.path_params["key"]: body["value"]})
    api.world.save(machine)
    return nothing()


def _keep(machine: Machine, values: dict[str, str | None]) -> None:
    """Set a machine's metadata. Fly: null values and empty strings remove keys."""
    machine.config["metadata"] = {key: value for key, value in values.items() if value}


async def delete_metadata_key(api: ApiState, request: Request) -> Response:
    """DELETE …/metadata/{key}."""
    machine, key = machine_of(api, request), request.path_params["key"]
    machine.config["metadata"] = {k: v for k, v in metadata_of(machine).items() if k != key}
    api.world.save(machine)
    return nothing()
