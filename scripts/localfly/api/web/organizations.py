"""Endpoints of organizations and builds below `/api/v1`.

An image is built by `localfly image build`; flyctl reports a build for each image that it deploys.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.organizations import organization_id, organization_of, organizations
from localfly.api.requests import ApiState, answer, read_json

Json = dict[str, Any]


def _show(slug: str) -> Json:
    return {
        "id": organization_id(slug),
        "internal_numeric_id": 1,
        "slug": slug,
        "raw_slug": slug,
        "name": slug,
        "paid_plan": True,
        "personal": slug == "personal",
        "billing_status": "CURRENT",
        "billable": True,
        "provisions_beta_extensions": False,
        "remote_builder_image": "",
    }


async def list_organizations(api: ApiState, _: Request) -> Response:
    """GET /api/v1/organizations."""
    return answer({"organizations": [_show(slug) for slug in organizations(api.world)]})


async def get_organization(api: ApiState, request: Request) -> Response:
    """GET /api/v1/organizations/{org}."""
    slug = organization_of(api.world, request.path_params["org"])
    return answer({"organization": _show(slug)})


async def begin_build(_api: ApiState, request: Request) -> Response:
    """POST /api/v1/builds: nothing is built, and nothing is kept."""
    await read_json(request)
    return answer({"id": 1, "status": "running", "wallclock_time_ms": 0})


async def finish_build(_api: ApiState, request: Request) -> Response:
    """POST /api/v1/builds/finish."""
    body = await read_json(request)
    status = body.get("status") if isinstance(body.get("status"), str) else "completed"
    return answer({"id": 1, "status": status, "wallclock_time_ms": 0})
