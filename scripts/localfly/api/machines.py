"""Machines: list, create, change, start, stop, wait, lease, metadata."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.apps import app_of
from localfly.api.requests import (
    ApiState,
    answer,
    nonce,
    nothing,
    read_json,
    refuse_unknown,
    require,
    source,
    whole_number,
)
from localfly.api_errors import ApiError, not_found, precondition
from localfly.machines.lifecycle import Machines
from localfly.state.records import Lease, Machine

Json = dict[str, Any]
WAIT_DEFAULT_S = WAIT_LIMIT_S = 60
LEASE_DEFAULT_S = 30
LEASE_LIMIT_S = 24 * 60 * 60
EVENTS_DEFAULT, EVENTS_LIMIT = 20, 50
_CREATE_FIELDS = (
    *("config", "name", "region", "skip_launch", "skip_service_registration", "skip_secrets"),
    *("min_secrets_version", "lease_ttl", "lsvd"),
)
_STATES = {
    "started": ("started",),
    "stopped": ("stopped",),
    "suspended": ("suspended",),
    "destroyed": ("destroyed",),
    "settled": ("started", "stopped", "suspended", "failed", "destroyed"),
    "failed": ("failed",),
}


def machine_of(api: ApiState, request: Request) -> Machine:
    """Return the machine the path names.

    Raises:
        ApiError: 404.
    """
    world = api.world
    app = world.app(request.path_params["app"])
    return world.machine(app.name, request.path_params["machine"])


def show_machine(machines: Machines, machine: Machine, *, summary: bool = False) -> Json:
    """Return a machine as the API shows it; a summary leaves out what is long."""
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
    return {
        **shown,
        "config": machine.config,
        "events": machine.events[:EVENTS_DEFAULT],
        "checks": machines.processes.check_results(machine),
        "host_status": "ok",
        "cordoned": machine.cordoned,
    }


def image_ref(image: str, digest: str) -> Json:
    """Take an image's name apart, as a registry client does; the digest is of what runs."""
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
            found = [m for m in found if _metadata(m).get(key.removeprefix("metadata.")) == value]
    summary = query.get("summary") == "true"
    return answer([show_machine(api.machines, m, summary=summary) for m in found])


async def create_machine(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/machines."""
    app = app_of(api, request)
    body = await read_json(request)
    refuse_unknown(body, *_CREATE_FIELDS)
    _check_types(body)
    machine = api.machines.create(app, body)
    # Told as it was created; by the time the answer is sent it may have started.
    shown, lease = show_machine(api.machines, machine), machine.current_lease
    await api.open_app(app)
    return answer({**shown, "nonce": lease.nonce} if lease else shown)


async def get_machine(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/machines/{machine}."""
    return answer(show_machine(api.machines, machine_of(api, request)))


async def update_machine(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/machines/{machine}: the whole config anew."""
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


async def start_machine(api: ApiState, request: Request) -> Response:
    """POST …/start."""
    machine = machine_of(api, request)
    api.world.check_lease(machine, nonce(request))
    before = await api.machines.start_machine(machine, source(request))
    return answer({"previous_state": before, "migrated": False, "new_host": ""})


async def stop_machine(api: ApiState, request: Request) -> Response:
    """POST …/stop."""
    machine, body = machine_of(api, request), await read_json(request)
    refuse_unknown(body, "signal", "timeout")
    machines = api.machines
    ending = machines.processes.ending(machine, body.get("signal"), body.get("timeout"))
    machines.begin_stop(machine, nonce(request), source(request), ending)
    return answer({"ok": True})


async def suspend_machine(api: ApiState, request: Request) -> Response:
    """POST …/suspend."""
    machine = machine_of(api, request)
    api.machines.begin_suspend(machine, nonce(request), source(request))
    return answer({"ok": True})


async def restart_machine(api: ApiState, request: Request) -> Response:
    """POST …/restart."""
    machine = machine_of(api, request)
    api.world.check_lease(machine, nonce(request))
    query = request.query_params
    ending = api.machines.processes.ending(
        machine, query.get("signal"), _timeout(query.get("timeout"))
    )
    await api.machines.restart_machine(machine, source(request), ending)
    return answer({"ok": True})


def _timeout(text: str | None) -> str | None:
    """Return a timeout as a duration; here Fly takes bare seconds too."""
    return f"{text}s" if text and text.isascii() and text.isdecimal() else text


async def signal_machine(api: ApiState, request: Request) -> Response:
    """POST …/signal."""
    body = await read_json(request)
    refuse_unknown(body, "signal")
    api.machines.send_signal(machine_of(api, request), body.get("signal") or "SIGINT")
    return answer({"ok": True})


async def cordon_machine(api: ApiState, request: Request) -> Response:
    """POST …/cordon: no requests are routed to it."""
    return _set_cordoned(api, request, cordoned=True)


async def uncordon_machine(api: ApiState, request: Request) -> Response:
    """POST …/uncordon."""
    return _set_cordoned(api, request, cordoned=False)


def _set_cordoned(api: ApiState, request: Request, *, cordoned: bool) -> Response:
    world, machine = api.world, machine_of(api, request)
    world.check_lease(machine, nonce(request))
    machine.cordoned = cordoned
    world.save(machine)
    return answer({"ok": True})


async def wait_machine(api: ApiState, request: Request) -> Response:
    """GET …/wait: block until a state is reached, 60 s at most."""
    world, machine, query = api.world, machine_of(api, request), request.query_params
    wanted = [part for value in query.getlist("state") for part in value.split(",")] or ["started"]
    unknown = [state for state in wanted if state not in _STATES]
    if unknown:
        raise ApiError(400, f"invalid_argument: unknown state {', '.join(unknown)}")
    version = query.get("version") or query.get("instance_id")
    after = query.get("from_event_id")
    if "stopped" in wanted and not version:
        raise ApiError(400, "instance_id required when waiting for stopped machine")
    limit = whole_number(query.get("timeout"), WAIT_DEFAULT_S, "timeout")
    if not 1 <= limit <= WAIT_LIMIT_S:
        raise ApiError(400, f"invalid_argument: timeout must be from 1 to {WAIT_LIMIT_S} seconds")
    deadline = time.monotonic() + limit
    states = {state for name in wanted for state in _STATES[name]}
    while not _reached(machine, states, version, after):
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(left):
                await world.change()
        except TimeoutError:
            raise ApiError(
                408,
                "deadline_exceeded: machine failed to reach desired state, "
                f"{wanted[0]}, currently {machine.state}",
            ) from None
    event = machine.events[0]["id"] if machine.events else ""
    body = {"ok": True, "state": machine.state, "version": machine.instance_id}
    return answer({**body, "event_id": event})


def _reached(machine: Machine, states: set[str], version: str | None, after: str | None) -> bool:
    """Return whether it is in such a state, in that version, by an event after that one."""
    newest = machine.events[0]["id"] if machine.events else ""
    in_version = not version or machine.instance_id == version
    return machine.state in states and in_version and newest != after


async def list_events(api: ApiState, request: Request) -> Response:
    """GET …/events, newest first."""
    limit = whole_number(request.query_params.get("limit"), EVENTS_DEFAULT, "limit")
    return answer(machine_of(api, request).events[: min(limit, EVENTS_LIMIT)])


async def list_versions(api: ApiState, request: Request) -> Response:
    """GET …/versions: each config as the user sent it."""
    return answer(machine_of(api, request).versions)


async def list_processes(api: ApiState, request: Request) -> Response:
    """GET …/ps."""
    process = api.machines.processes.life(machine_of(api, request)).process
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
                "listen_sockets": [{"proto": p, "address": a} for p, a in info.listening],
            }
            for info in found
        ]
    )


# Metadata


def _metadata(machine: Machine) -> dict[str, str]:
    return machine.config.get("metadata") or {}


async def get_metadata(api: ApiState, request: Request) -> Response:
    """GET …/metadata."""
    return answer(_metadata(machine_of(api, request)))


async def replace_metadata(api: ApiState, request: Request) -> Response:
    """PUT …/metadata: all of it anew."""
    return await _write_metadata(api, request, merge=False)


async def merge_metadata(api: ApiState, request: Request) -> Response:
    """PATCH …/metadata: some of it."""
    return await _write_metadata(api, request, merge=True)


async def _write_metadata(api: ApiState, request: Request, *, merge: bool) -> Response:
    machine, body = machine_of(api, request), await read_json(request)
    refuse_unknown(body, "metadata", "machine_version", "updated_at")
    _check_unchanged(machine, body)
    values = body.get("metadata")
    if not isinstance(values, dict) or not all(isinstance(v, str | None) for v in values.values()):
        raise ApiError(400, "invalid_argument: metadata must be an object of strings")
    merged = {**(_metadata(machine) if merge else {}), **values}
    # Fly: null values and empty strings remove keys.
    machine.config["metadata"] = {key: value for key, value in merged.items() if value}
    api.world.save(machine)
    return nothing()


def _check_unchanged(machine: Machine, body: Json) -> None:
    """Hold the preconditions of a write against the machine.

    Raises:
        ApiError: 412 that says what it is now.
    """
    for name, now in (("machine_version", machine.instance_id), ("updated_at", machine.updated_at)):
        if body.get(name) and body[name] != now:
            raise precondition(f"{name} is {now}, not {body[name]}")


async def get_metadata_key(api: ApiState, request: Request) -> Response:
    """GET …/metadata/{key}."""
    key = request.path_params["key"]
    found = _metadata(machine_of(api, request))
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
    machine.config["metadata"] = {**_metadata(machine), request.path_params["key"]: body["value"]}
    api.world.save(machine)
    return nothing()


async def delete_metadata_key(api: ApiState, request: Request) -> Response:
    """DELETE …/metadata/{key}."""
    machine, key = machine_of(api, request), request.path_params["key"]
    machine.config["metadata"] = {k: v for k, v in _metadata(machine).items() if k != key}
    api.world.save(machine)
    return nothing()


# Leases


def _envelope(lease: Lease) -> Json:
    return {"status": "success", "data": lease.document()}


def check_lease_ttl(ttl_s: int) -> int:
    """Return back a lease's seconds if they are some.

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
    """POST …/lease: take it, or refresh it with its nonce."""
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
