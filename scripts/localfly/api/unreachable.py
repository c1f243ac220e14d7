"""Refuse requests that need the host of a machine or volume while it does not answer.

What Fly keeps elsewhere is still served: records, events, snapshots, and the removal of either.
"""

from __future__ import annotations

from starlette.requests import Request

from localfly.api.requests import ApiState
from localfly.api_errors import ApiError

_UNAVAILABLE = 503


def refuse_unreachable(api: ApiState, request: Request) -> None:
    """Check that the host answers, where the request needs it.

    Raises:
        ApiError: 503, as Fly does not document what it answers.
    """
    kind = next((kind for kind in ("machine", "volume") if kind in request.path_params), "")
    if not kind:
        return
    key, path = request.path_params[kind], request.url.path
    found = (api.world.machines if kind == "machine" else api.world.volumes).get(key)
    if found is None or api.world.hosts.answers(found.host) or not _needs_host(request, key):
        return
    raise ApiError(_UNAVAILABLE, f"unavailable: the host of {kind} {key} does not answer ({path})")


def _needs_host(request: Request, key: str) -> bool:
    path = request.url.path
    if request.method in ("GET", "HEAD"):
        return path.endswith("/ps")
    return request.method != "DELETE" or not path.endswith(f"/{key}")
