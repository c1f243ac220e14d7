"""Endpoints that list, create, read, update and delete machines, and list their history."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.machine_leases import check_lease_ttl
from localfly.api.machine_metadata import metadata_of
from localfly.api.requests import (
    ApiState,
    answer,
    app_of,
    host_status,
    machine_of,
    nonce,
    read_json,
    refuse_unknown,
    require,
    whole_number,
)
from localfly.api_errors import not_found
from localfly.machines.lifecycle import Machines
from localfly.state.records import Machine

Json = dict[str, Any]
EVENTS_DEFAULT, EVENTS_LIMIT = 20, 50
_CREATE_FIELDS = (
    *("config", "name", "region", "skip_launch", "skip_service_registration", "skip_secrets"),
    *("min_secrets_version", "lease_ttl", "lsvd"),
)


def show_machine(machines: Machines, machine: Machine, *, summary: bool = False) -> Json:
    """Return the API's representation of a machine; a summary leaves out the long parts."""
    shown: Json = {
        "id": machine.id,
        "name": machine.name,
        "state": machine.state,
        "region": machine.region,
        "instance_id": machine.instance_id,
        "private_ip": machine.address,
        "created_at": machine.created_at,
        "updated_at": machine.updated_at,
        "image_ref": image_ref(machine.config["image"], machine.image_digest),
    }
    if summary:
        return shown
    config: Json = {"config": machine.config}
    if not (answers := machines.answers(machine)):
        config = {"config": None, "incomplete_config": machine.config}
    return {
        **shown,
        **config,
        "events": machine.events[:EVENTS_DEFAULT],
        "checks": machines.processes.check_results(machine),
        "host_status": host_status(answers=answers),
        "cordoned": machine.cordoned,
    }


def image_ref(image: str, digest: str) -> Json:
    """Return the parts of an image's name, as a registry client does, and the running digest."""
    name, _, _ = image.partition("@")
    first, slash, rest = name.partition("/")
    has_registry = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    registry, path = (first, rest) if has_registry else ("registry-1.docker.io", name)
    repository, _, tag = path.partition(":")
    return {
        "registry": registry,
        "repository": repository,
        "tag": tag or "latest",
        "digest": digest,
        "labels": {},
    }


async def list_machines(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/machines, filtered."""
    query = request.query_params
    app = api.world.app(request.path_params["app"])
    deleted = query.get("include_deleted") == "true"
    found = [m for m in api.world.machines.values() if m.app == app.name]
    found = [m for m in found if deleted or m.state != "destroyed"]
    if query.get("region"):
        found = [m for m in found if m.region == query["region"]]
    states = [part for value in query.getlist("state") for part in value.split(",") if part]
    if states:
        found = [m for m in found if m.state in states]
    for key, value in query.multi_items():
        if key.startswith("metadata."):
            found = [m for m in found if metadata_of(m).get(key.removeprefix("metadata.")) == value]
    summary = query.get("summary") == "true"
    return answer([show_machine(api.machines, m, summary=summary) for m in found])


async def create_machine(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/machines."""
    app = app_of(api, request)
    body = await read_json(request)
    refuse_unknown(body, *_CREATE_FIELDS)
    _check_types(body)
    # First, so that the machine's process finds the address of its own app.
    await api.open_app(app)
    machine = api.machines.create(app, body)
    # The response shows the machine as created; it may have started before it is sent.
    shown, lease = show_machine(api.machines, machine), machine.current_lease
    return answer({**shown, "nonce": lease.nonce} if lease else shown)


async def get_machine(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/machines/{machine}."""
    return answer(show_machine(api.machines, machine_of(api, request)))


async def update_machine(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/machines/{machine}: replace the whole config."""
    app, machine = app_of(api, request), machine_of(api, request)
    body = await read_json(request)
    refuse_unknown(body, *_CREATE_FIELDS, "current_version")
    _check_types(body)
    api.machines.update(app, machine, body, nonce(request))
    return answer(show_machine(api.machines, machine))


def _check_types(body: Json) -> None:
    require(body, config=dict, name=str, region=str, skip_launch=bool)
    require(body, skip_service_registration=bool, skip_secrets=bool, lsvd=bool)
    require(body, min_secrets_version=int, lease_ttl=int, current_version=str)
    if body.get("lease_ttl"):
        check_lease_ttl(body["lease_ttl"])


async def delete_machine(api: ApiState, request: Request) -> Response:
    """DELETE /apps/{app}/machines/{machine}."""
    machine = machine_of(api, request)
    api.world.check_lease(machine, nonce(request))
    if machine.state == "destroyed":
        raise not_found(f"machine {machine.id}")
    force = "true" in (request.query_params.get("force"), request.query_params.get("kill"))
    await api.machines.destroy_machine(machine, force=force)
    return answer({"ok": True})


async def list_events(api: ApiState, request: Request) -> Response:
    """GET …/events, newest first."""
    limit = whole_number(request.query_params.get("limit"), EVENTS_DEFAULT, "limit")
    return answer(machine_of(api, request).events[: min(limit, EVENTS_LIMIT)])


async def list_versions(api: ApiState, request: Request) -> Response:
    """GET …/versions: the configs as the user sent them."""
    return answer(machine_of(api, request).versions)


async def list_processes(api: ApiState, request: Request) -> Response:
    """GET …/ps."""
    machine = machine_of(api, request)
    process = api.machines.processes.live(machine).process
    found = await asyncio.to_thread(process.processes) if process else []
    return answer(
        [
            {
                "pid": info.pid,
                "stime": int(info.cpu_s),
                "rtime": int(info.age_s),
                "command": info.command,
                "directory": info.directory,
                "cpu": int(info.cpu_s),
                "rss": info.rss,
                "listen_sockets": [
                    {"proto": proto, "address": _inside(machine, address)}
                    for proto, address in info.listening
                ],
            }
            for info in found
        ]
    )


def _inside(machine: Machine, address: str) -> str:
    """Return an address as the machine would report it: its own is all of its addresses."""
    host, _, port = address.rpartition(":")
    return f"0.0.0.0:{port}" if host == machine.address else address
