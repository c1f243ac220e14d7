"""Endpoints that start, stop, suspend, restart, signal, cordon and wait for machines."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import (
    ApiState,
    answer,
    machine_of,
    nonce,
    read_json,
    refuse_unknown,
    source,
    whole_number,
)
from localfly.api_errors import ApiError
from localfly.state.records import Machine

Json = dict[str, Any]
WAIT_DEFAULT_S = WAIT_LIMIT_S = 60
_STATES = {
    "started": ("started",),
    "stopped": ("stopped",),
    "suspended": ("suspended",),
    "destroyed": ("destroyed",),
    "settled": ("started", "stopped", "suspended", "failed", "destroyed"),
    "failed": ("failed",),
}


async def start_machine(api: ApiState, request: Request) -> Response:
    """POST …/start."""
    machine = machine_of(api, request)
    api.world.check_lease(machine, nonce(request))
    before = await api.machines.start_machine(machine, source(request))
    return answer({"previous_state": before, "migrated": False, "new_host": ""})


async def stop_machine(api: ApiState, request: Request) -> Response:
    """POST …/stop."""
    machine, body = machine_of(api, request), await read_json(request)
    # fly-go sends the machine's id, too, and "0s" where its user named no timeout.
    refuse_unknown(body, "signal", "timeout", "id")
    if body.get("id") not in (None, "", machine.id):
        raise ApiError(400, f"invalid_argument: id is {body['id']}, the path names {machine.id}")
    machines = api.machines
    timeout = None if body.get("timeout") in (0, "0s") else body.get("timeout")
    ending = machines.processes.ending(machine, body.get("signal"), timeout)
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
    """Return a timeout as a duration; Fly accepts bare seconds in this query."""
    return f"{text}s" if text and text.isascii() and text.isdecimal() else text


async def signal_machine(api: ApiState, request: Request) -> Response:
    """POST …/signal."""
    machine, body = machine_of(api, request), await read_json(request)
    refuse_unknown(body, "signal")
    if not body.get("signal"):
        raise ApiError(400, "invalid_argument: signal is required")
    api.machines.send_signal(machine, body["signal"])
    return answer({"ok": True})


async def cordon_machine(api: ApiState, request: Request) -> Response:
    """POST …/cordon: the proxy stops routing to the machine."""
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
    """GET …/wait: wait until the machine reaches a state, 60 s at most."""
    world, machine, query = api.world, machine_of(api, request), request.query_params
    wanted = [part for value in query.getlist("state") for part in value.split(",")] or ["started"]
    unknown = [state for state in wanted if state not in _STATES]
    if unknown:
        raise ApiError(400, f"invalid_argument: unknown state {', '.join(unknown)}")
    version = query.get("version") or query.get("instance_id")
    after = query.get("from_event_id")
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
    """Return whether a machine is in one of the states, in the version, after the event."""
    newest = machine.events[0]["id"] if machine.events else ""
    in_version = not version or machine.instance_id == version
    return machine.state in states and in_version and newest != after
