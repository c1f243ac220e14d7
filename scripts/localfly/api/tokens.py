"""Endpoints of tokens, which are opaque strings with all rights here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import ApiState, answer, app_of, read_json, refuse_unknown, require
from localfly.api_errors import ApiError
from localfly.config.durations import seconds

Json = dict[str, Any]
DEFAULT_EXPIRY_S = 20 * 365 * 24 * 3600.0
"""How long a token lasts if nothing is asked for: flyctl's default, 175200h."""
MOST_EXPIRY_S = 100 * 365 * 24 * 3600.0


def expiry(asked: Any) -> str:
    """Return when a token ends that lasts as long as a duration of Go.

    Raises:
        ApiError: 400 for anything else, or for more than a hundred years.
    """
    lasts = seconds(asked, DEFAULT_EXPIRY_S)
    if not 0 < lasts <= MOST_EXPIRY_S:
        raise ApiError(400, "invalid_argument: expiry must be positive, and at most 876000h")
    end = datetime.now(UTC) + timedelta(seconds=lasts)
    return end.isoformat(timespec="seconds").replace("+00:00", "Z")


async def current_token(api: ApiState, _: Request) -> Response:
    """GET /tokens/current."""
    token = {
        "token_id": "local",
        "organization": "personal",
        "org_slug": "personal",
        "apps": sorted(api.world.apps),
        "user": "local@localfly",
        "source_machine_id": "",
        "restricted_to_machine": "",
    }
    return answer({"tokens": [token]})


async def create_deploy_token(api: ApiState, request: Request) -> Response:
    """POST /apps/{app}/deploy_token."""
    app, body = app_of(api, request), await read_json(request)
    refuse_unknown(body, "expiry")
    require(body, expiry=str)
    _, value = api.world.create_token(
        "deploy",
        app.organization,
        app.name,
        profile="deploy",
        expires_at=expiry(body.get("expiry")),
    )
    return answer({"token": f"FlyV1 {value}"})
