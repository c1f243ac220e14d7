"""Endpoints of certificates, which are records only: nothing is issued, and no name is resolved."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import (
    ApiState,
    answer,
    app_of,
    nothing,
    read_json,
    refuse_unknown,
    require,
    whole_number,
)
from localfly.api_errors import ApiError, not_found
from localfly.state.records import App, timestamp

Json = dict[str, Any]
_HOSTNAME = re.compile(
    r"(?=.{1,253}$)(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.ASCII
)
STATUS = "Awaiting configuration"
MOST = 100


async def list_certificates(api: ApiState, request: Request) -> Response:
    """GET /apps/{app}/certificates: by hostname, page by page."""
    app, query = app_of(api, request), request.query_params
    limit = whole_number(query.get("limit"), MOST, "limit")
    if not 1 <= limit <= MOST:
        raise ApiError(400, f"invalid_argument: limit must be from 1 to {MOST}")
    wanted, cursor = query.get("filter") or "", query.get("cursor") or ""
    names = sorted(name for name in app.certificates if wanted in name)
    page = [name for name in names if name > cursor][:limit]
    more = bool(page) and page[-1] != names[-1]
    shown = [_summary(name, app.certificates[name]) for name in page]
    cursor = page[-1] if more else ""
    return answer({"certificates": shown, "total_count": len(names), "next_cursor": cursor})


async def create_acme_certificate(api: ApiState, request: Request) -> Response:
    """POST …/acme: add a hostname for which Fly would request a certificate."""
    app, body = app_of(api, request), await read_json(request)
    refuse_unknown(body, "hostname")
    name = _hostname(body)
    if app.certificates.get(name, {}).get("acme"):
        raise ApiError(422, f"Hostname {name} already exists on app")
    _keep(api, app, name, acme=True)
    return answer(_detail(app, name), 201)


async def create_custom_certificate(api: ApiState, request: Request) -> Response:
    """POST …/custom: note that a hostname has a certificate of its own, of which nothing is kept."""
    app, body = app_of(api, request), await read_json(request)
    refuse_unknown(body, "hostname", "fullchain", "private_key")
    require(body, fullchain=str, private_key=str)
    name = _hostname(body)
    if not (body.get("fullchain") and body.get("private_key")):
        raise ApiError(422, "fullchain and private_key are required")
    _keep(api, app, name, custom=True)
    return answer(_detail(app, name), 201)


async def get_certificate(api: ApiState, request: Request) -> Response:
    """GET …/{hostname}."""
    app, name = _named(api, request)
    return answer(_detail(app, name))


async def check_certificate(api: ApiState, request: Request) -> Response:
    """POST …/{hostname}/check: nothing is looked up, so that no DNS record is found."""
    app, name = _named(api, request)
    return answer({**_detail(app, name), "dns_records": {"a": [], "aaaa": [], "cname": []}})


async def delete_certificate(api: ApiState, request: Request) -> Response:
    """DELETE …/{hostname}: remove the hostname with all its certificates."""
    app, name = _named(api, request)
    del app.certificates[name]
    api.world.save(app)
    return nothing()


async def delete_acme_certificate(api: ApiState, request: Request) -> Response:
    """DELETE …/{hostname}/acme: renew no certificate any more; a custom one stays."""
    app, name = _named(api, request)
    _keep(api, app, name, acme=False)
    return answer(_detail(app, name))


async def delete_custom_certificate(api: ApiState, request: Request) -> Response:
    """DELETE …/{hostname}/custom: remove the custom certificate; the hostname stays."""
    app, name = _named(api, request)
    if not app.certificates[name]["custom"]:
        raise not_found(f"custom certificate for {name}")
    _keep(api, app, name, custom=False)
    return answer({**_detail(app, name), "warning": ""})


def _hostname(body: Json) -> str:
    require(body, hostname=str)
    name = (body.get("hostname") or "").lower()
    if not _HOSTNAME.fullmatch(name):
        raise ApiError(422, f"Hostname {name!r} is not valid")
    return name


def _named(api: ApiState, request: Request) -> tuple[App, str]:
    app, name = app_of(api, request), request.path_params["hostname"].lower()
    if name not in app.certificates:
        raise not_found(f"certificate for {name}")
    return app, name


def _keep(api: ApiState, app: App, name: str, **changes: bool) -> None:
    now = timestamp()
    held = app.certificates.get(name) or {"acme": False, "custom": False, "created_at": now}
    app.certificates[name] = {**held, **changes, "updated_at": now}
    api.world.save(app)


def _summary(name: str, record: Json) -> Json:
    return {
        "hostname": name,
        "status": STATUS,
        "configured": False,
        "acme_requested": record["acme"],
        "acme_dns_configured": False,
        "acme_alpn_configured": False,
        "acme_http_configured": False,
        "ownership_txt_configured": False,
        "has_custom_certificate": record["custom"],
        "has_fly_certificate": False,
        "created_at": record["created_at"],
        "updated_at": record["updated_at"],
        "dns_provider": "",
    }


def _detail(app: App, name: str) -> Json:
    record = app.certificates[name]
    entry = {"status": "pending_ownership", "created_at": record["created_at"], "issued": []}
    sources = [source for source, key in (("fly", "acme"), ("custom", "custom")) if record[key]]
    owned = name.removeprefix("*.")
    return {
        "hostname": name,
        "status": STATUS,
        "configured": False,
        "acme_requested": record["acme"],
        "certificates": [{**entry, "source": source} for source in sources],
        "dns_provider": "",
        "dns_requirements": {
            "a": [ip["ip"] for ip in app.ips if ip["type"] in ("v4", "shared_v4")],
            "aaaa": [ip["ip"] for ip in app.ips if ip["type"] == "v6"],
            "cname": f"{app.name}.fly.dev",
            "acme_challenge": {
                "name": f"_acme-challenge.{owned}",
                "target": f"{owned}.{app.id}.flydns.net",
            },
            "ownership": {"name": f"_fly-ownership.{owned}", "app_value": f"app-{app.id}"},
        },
        "validation": {
            "dns_configured": False,
            "alpn_configured": False,
            "http_configured": False,
            "ownership_txt_configured": False,
        },
        "validation_errors": [],
    }
