"""What endpoints share: the typed state, path lookups, and request and response bodies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localfly.api_errors import ApiError
from localfly.images.builder import Images
from localfly.machines.lifecycle import Machines
from localfly.runtime.machine_sockets import MACHINE_SCOPE
from localfly.state.records import App, Machine
from localfly.state.world import World

Json = dict[str, Any]
MAX_BODY = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_DIGITS = 18


@dataclass(frozen=True)
class ApiState:
    """The parts of the daemon that endpoints work with."""

    world: World
    machines: Machines
    images: Images
    version: str
    api_url: str
    """The address of this API, without `/v1`."""
    stop: asyncio.Event
    """Set to end the daemon; streams end when it is set."""
    open_app: Callable[[App], Awaitable[None]]
    """Open the proxy's port of an app; does nothing when it is open."""
    close_app: Callable[[str], Awaitable[None]]
    """Close the proxy's port of the app with this name."""


Endpoint = Callable[[ApiState, Request], Awaitable[Response]]
"""An endpoint of the API; `app.make_api` binds the state to it."""


def app_of(api: ApiState, request: Request) -> App:
    """Return the app that the path names.

    Raises:
        ApiError: 404.
    """
    return api.world.app(request.path_params["app"])


def machine_of(api: ApiState, request: Request) -> Machine:
    """Return the machine that the path names.

    Raises:
        ApiError: 404.
    """
    world = api.world
    app = world.app(request.path_params["app"])
    return world.machine(app.name, request.path_params["machine"])


async def read_json(request: Request) -> Json:
    """Return the JSON object of a body; an empty body is an empty object.

    Raises:
        ApiError: 400 for any other body, 413 for a too large one.
    """
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise ApiError(413, "request body too large")
    if not content.strip():
        return {}
    try:
        body = json.loads(content)
        # Half a surrogate pair is valid JSON, but no response could contain it.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ApiError(400, "invalid_argument: the body is not JSON") from None
    if _depth(body) > MAX_DEPTH:
        raise ApiError(400, f"invalid_argument: the body is nested deeper than {MAX_DEPTH}")
    if not isinstance(body, dict):
        raise ApiError(400, "invalid_argument: the body is not a JSON object")
    return body


def _depth(value: Any) -> int:
    """Return how deep a value is nested, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


def require(body: Json, **kinds: type) -> None:
    """Check the types of the fields that a body has.

    Raises:
        ApiError: 400 with the name of the field.
    """
    for name, kind in kinds.items():
        value = body.get(name)
        bool_for_int = kind is int and isinstance(value, bool)
        if value is not None and (not isinstance(value, kind) or bool_for_int):
            raise ApiError(400, f"invalid_argument: {name} must be {kind.__name__}")


def refuse_unknown(body: Json, *known: str) -> None:
    """Check that a body has no fields other than the known ones.

    Raises:
        ApiError: 422 with their names.
    """
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise ApiError(422, f"unknown fields: {', '.join(unknown)}")


def nonce(request: Request) -> str:
    """Return the nonce of the caller's lease; empty without one."""
    return request.headers.get("fly-machine-lease-nonce", "")


def source(request: Request) -> str:
    """Return the source for events: "machine" for a machine's own request, else "user"."""
    return "machine" if request.scope.get(MACHINE_SCOPE) else "user"


def whole_number(text: str | None, default: int, name: str) -> int:
    """Return a number of a query, or `default` without one.

    Raises:
        ApiError: 400 with the name of the parameter.
    """
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()):
        raise ApiError(400, f"invalid_argument: {name} must be a whole number")
    return int(text[:MAX_DIGITS])


def host_status(*, answers: bool) -> str:
    """Return Fly's word for a host that answers or does not."""
    return "ok" if answers else "unreachable"


def answer(body: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return JSONResponse(body, status)


def nothing(status: int = 204) -> Response:
    """Return a response without a body."""
    return Response(status_code=status)
