"""The endpoints below `/api/v1`, and what answers for those that are not here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.apps import NO_BUILDERS
from localfly.api.requests import ApiState, Endpoint
from localfly.api.web import logs, organizations, releases
from localfly.api_errors import ApiError

WEB = "/api/v1"
ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", f"{WEB}/organizations", organizations.list_organizations),
    ("GET", f"{WEB}/organizations/{{org}}", organizations.get_organization),
    ("POST", f"{WEB}/builds", organizations.begin_build),
    ("POST", f"{WEB}/builds/finish", organizations.finish_build),
    ("POST", f"{WEB}/releases", releases.create_release),
    ("GET", f"{WEB}/releases/all_current", releases.all_current_releases),
    ("PATCH", f"{WEB}/releases/{{release}}", releases.update_release),
    ("GET", f"{WEB}/apps/{{app}}/releases", releases.list_releases),
    ("GET", f"{WEB}/apps/{{app}}/releases/current", releases.current_release),
    ("GET", f"{WEB}/apps/{{app}}/logs", logs.read_logs),
)
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def absent(_api: ApiState, request: Request) -> Response:
    """Answer 501: Fly has more below this path than it documents."""
    if "build" in request.url.path:
        raise ApiError(501, NO_BUILDERS)
    what = f"{request.method} {request.url.path}"
    raise ApiError(501, f"the local Fly does not have {what}; see its README")


ABSENT: tuple[tuple[str, str, Endpoint], ...] = tuple(
    (verb, "/api/{rest:path}", absent) for verb in VERBS
)
