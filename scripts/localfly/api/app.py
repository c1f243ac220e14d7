"""The API as one application: routes, authorization, request ids, and errors in Fly's form."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from functools import partial

import h11
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localfly.api import (
    apps,
    certificates,
    control,
    ip_assignments,
    machine_exec,
    machine_leases,
    machine_lifecycle,
    machine_metadata,
    machines,
    organizations,
    platform,
    tokens,
    volumes,
)
from localfly.api.graphql.endpoint import serve_graphql
from localfly.api.requests import ApiState, Endpoint
from localfly.api.slow_answers import SlowAnswers
from localfly.api.unreachable import refuse_unreachable
from localfly.api.weather import BadWeather
from localfly.api.web import routes as web
from localfly.api_errors import ApiError
from localfly.errors import LocalFlyError
from localfly.runtime.machine_sockets import MACHINE_SCOPE
from localfly.state.weather import Weather

_LOG = logging.getLogger(__name__)

SCHEMES = frozenset({"bearer", "flyv1"})
"""The schemes of authorization that Fly takes, in lowercase."""

APP = "/apps/{app}"
MACHINE = f"{APP}/machines/{{machine}}"
VOLUME = f"{APP}/volumes/{{volume}}"
CERTIFICATES = f"{APP}/certificates"
GRAPHQL: tuple[tuple[str, str, Endpoint], ...] = (("POST", "/graphql", serve_graphql),)
# The paths that need a token, as on Fly; those of the local Fly itself need none.
WITH_TOKEN = ("/v1", "/graphql", "/api/")

ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/apps", apps.list_apps),
    ("POST", "/apps", apps.create_app),
    ("GET", APP, apps.get_app),
    ("DELETE", APP, apps.delete_app),
    ("GET", f"{APP}/ip_assignments", ip_assignments.list_ips),
    ("POST", f"{APP}/ip_assignments", ip_assignments.assign_ip),
    ("DELETE", f"{APP}/ip_assignments/{{ip}}", ip_assignments.release_ip),
    ("GET", f"{APP}/secrets", apps.list_secrets),
    ("POST", f"{APP}/secrets", apps.set_secrets),
    ("GET", f"{APP}/secrets/{{name}}", apps.get_secret),
    ("POST", f"{APP}/secrets/{{name}}", apps.set_secret),
    ("DELETE", f"{APP}/secrets/{{name}}", apps.delete_secret),
    ("GET", f"{APP}/machines", machines.list_machines),
    ("POST", f"{APP}/machines", machines.create_machine),
    ("GET", MACHINE, machines.get_machine),
    ("POST", MACHINE, machines.update_machine),
    ("DELETE", MACHINE, machines.delete_machine),
    ("POST", f"{MACHINE}/start", machine_lifecycle.start_machine),
    ("POST", f"{MACHINE}/stop", machine_lifecycle.stop_machine),
    ("POST", f"{MACHINE}/suspend", machine_lifecycle.suspend_machine),
    ("POST", f"{MACHINE}/restart", machine_lifecycle.restart_machine),
    ("POST", f"{MACHINE}/signal", machine_lifecycle.signal_machine),
    ("POST", f"{MACHINE}/cordon", machine_lifecycle.cordon_machine),
    ("POST", f"{MACHINE}/uncordon", machine_lifecycle.uncordon_machine),
    ("GET", f"{MACHINE}/wait", machine_lifecycle.wait_machine),
    ("GET", f"{MACHINE}/events", machines.list_events),
    ("GET", f"{MACHINE}/versions", machines.list_versions),
    ("GET", f"{MACHINE}/ps", machines.list_processes),
    ("POST", f"{MACHINE}/exec", machine_exec.exec_command),
    ("GET", f"{MACHINE}/lease", machine_leases.get_lease),
    ("POST", f"{MACHINE}/lease", machine_leases.acquire_lease),
    ("DELETE", f"{MACHINE}/lease", machine_leases.release_lease),
    ("GET", f"{MACHINE}/metadata", machine_metadata.get_metadata),
    ("PUT", f"{MACHINE}/metadata", machine_metadata.replace_metadata),
    ("PATCH", f"{MACHINE}/metadata", machine_metadata.merge_metadata),
    ("GET", f"{MACHINE}/metadata/{{key}}", machine_metadata.get_metadata_key),
    ("POST", f"{MACHINE}/metadata/{{key}}", machine_metadata.set_metadata_key),
    ("DELETE", f"{MACHINE}/metadata/{{key}}", machine_metadata.delete_metadata_key),
    ("GET", f"{APP}/volumes", volumes.list_volumes),
    ("POST", f"{APP}/volumes", volumes.create_volume),
    ("GET", VOLUME, volumes.get_volume),
    ("PUT", VOLUME, volumes.update_volume),
    ("DELETE", VOLUME, volumes.delete_volume),
    ("PUT", f"{VOLUME}/extend", volumes.extend_volume),
    ("GET", f"{VOLUME}/snapshots", volumes.list_snapshots),
    ("POST", f"{VOLUME}/snapshots", volumes.create_snapshot),
    ("GET", CERTIFICATES, certificates.list_certificates),
    ("POST", f"{CERTIFICATES}/acme", certificates.create_acme_certificate),
    ("POST", f"{CERTIFICATES}/custom", certificates.create_custom_certificate),
    ("GET", f"{CERTIFICATES}/{{hostname}}", certificates.get_certificate),
    ("DELETE", f"{CERTIFICATES}/{{hostname}}", certificates.delete_certificate),
    ("DELETE", f"{CERTIFICATES}/{{hostname}}/acme", certificates.delete_acme_certificate),
    ("POST", f"{CERTIFICATES}/{{hostname}}/check", certificates.check_certificate),
    ("DELETE", f"{CERTIFICATES}/{{hostname}}/custom", certificates.delete_custom_certificate),
    ("POST", f"{APP}/deploy_token", tokens.create_deploy_token),
    ("GET", "/orgs/{org}/machines", organizations.list_org_machines),
    ("GET", "/orgs/{org}/volumes", organizations.list_org_volumes),
    ("GET", "/platform/regions", platform.list_regions),
    ("POST", "/platform/placements", platform.place),
    ("GET", "/tokens/current", tokens.current_token),
)
# Endpoints of Fly that the local Fly does not have; they answer 501.
ABSENT: tuple[tuple[str, str], ...] = (
    ("GET", f"{MACHINE}/memory"),
    ("PUT", f"{MACHINE}/memory"),
    ("POST", f"{MACHINE}/memory/reclaim"),
    ("GET", f"{APP}/secretkeys"),
    ("GET", f"{APP}/secretkeys/{{name}}"),
    ("POST", f"{APP}/secretkeys/{{name}}"),
    ("DELETE", f"{APP}/secretkeys/{{name}}"),
    ("POST", f"{APP}/secretkeys/{{name}}/decrypt"),
    ("POST", f"{APP}/secretkeys/{{name}}/encrypt"),
    ("POST", f"{APP}/secretkeys/{{name}}/generate"),
    ("POST", f"{APP}/secretkeys/{{name}}/sign"),
    ("POST", f"{APP}/secretkeys/{{name}}/verify"),
    ("POST", "/tokens/authenticate"),
    ("POST", "/tokens/authorize"),
    ("POST", "/tokens/kms"),
    ("POST", "/tokens/oidc"),
)


def make_api(
    state: ApiState, token: str | None, answers_s: float = 0, weather: Weather | None = None
) -> Starlette:
    """Build the application.

    Args:
        state: the first argument of each endpoint.
        token: the only token that is accepted; None accepts any.
        answers_s: seconds that each answer takes.
        weather: the troubles of requests to `/v1`; None for none.
    """
    missing = ((verb, path, absent) for verb, path in ABSENT)
    routes = _routes(state, (*ENDPOINTS, *missing))
    api = Starlette(
        routes=[
            Mount("/v1", routes=routes),
            *_routes(state, (*GRAPHQL, *web.ENDPOINTS, *web.ABSENT, *control.ENDPOINTS)),
        ],
        exception_handlers={
            ApiError: _refuse,
            LocalFlyError: _fail,
            404: _no_such_path,
            405: _no_such_verb,
        },
    )
    if weather is not None:
        api.add_middleware(BadWeather, weather=weather)
    api.add_middleware(AccessControl, token=token, made_here=state.world.knows_token)
    api.add_middleware(SlowAnswers, seconds=answers_s)
    return api


def _routes(state: ApiState, endpoints: Iterable[tuple[str, str, Endpoint]]) -> list[Route]:
    """Return one route for each path, so that a 405 names all verbs of the path in `Allow`."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for verb, path, endpoint in endpoints:
        paths.setdefault(path, {})[verb] = endpoint
    return [
        Route(path, partial(_dispatch, state, verbs), methods=list(verbs))
        for path, verbs in paths.items()
    ]


async def _dispatch(state: ApiState, verbs: dict[str, Endpoint], request: Request) -> Response:
    refuse_unreachable(state, request)
    # A HEAD is a GET whose body is not sent.
    return await verbs["GET" if request.method == "HEAD" else request.method](state, request)


async def absent(_: ApiState, request: Request) -> Response:
    """Answer 501 for an endpoint of Fly that the local Fly does not have."""
    what = f"{request.method} {request.url.path.removeprefix('/v1')}"
    raise ApiError(501, f"the local Fly does not have {what}; see its README")


class AccessControl:
    """Accepts requests with a token, and requests of a machine about itself."""

    def __init__(self, app: ASGIApp, token: str | None, made_here: Callable[[str], bool]) -> None:
        self._app = app
        self._token = token
        self._made_here = made_here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; every response gets a request id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def send_with_id(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                request_id = f"{secrets.token_hex(13).upper()}-local".encode()
                message["headers"] = [*message["headers"], (b"fly-request-id", request_id)]
            try:
                await send(message)
            except h11.LocalProtocolError:
                # The client broke the protocol, and uvicorn has answered it: no response can be
                # sent.
                await _until_gone(receive)

        refusal = self._refusal(scope)
        if refusal:
            await JSONResponse(refusal.body(), refusal.status)(scope, receive, send_with_id)
            return
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            return  # the client disconnected within its request: no response can be sent
        except Exception as error:
            if began:
                raise
            _LOG.exception("%s %s", scope["method"], scope["path"])
            body = {"error": f"internal: {type(error).__name__}; see the daemon's log"}
            await JSONResponse(body, 500)(scope, receive, send_with_id)

    def _refusal(self, scope: Scope) -> ApiError | None:
        own = scope.get(MACHINE_SCOPE)
        path = str(scope["path"])
        if own is not None:
            prefix = f"/v1/apps/{own[0]}/machines/{own[1]}"
            inside = path == prefix or path.startswith(f"{prefix}/")
            return None if inside else ApiError(403, "a machine may only act on itself here")
        headers = dict(scope["headers"])
        if b"origin" in headers:
            return ApiError(403, "web pages may not use this API")
        if not path.startswith(WITH_TOKEN):
            return None
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() not in SCHEMES or not self._accepts(token):
            return ApiError(401, "unauthorized")
        return None

    def _accepts(self, token: str) -> bool:
        """Return whether a token may act: any one, or the daemon's and those made here."""
        if self._token is None:
            return bool(token)
        return secrets.compare_digest(token.encode(), self._token.encode()) or self._made_here(
            token
        )


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this class
    return JSONResponse(error.body(), error.status)


async def _fail(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 500)


async def _no_such_path(request: Request, _: Exception) -> Response:
    return JSONResponse({"error": f"no such path: {request.url.path}"}, 404)


async def _no_such_verb(request: Request, error: Exception) -> Response:
    what = f"{request.method} {request.url.path}"
    allow = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": f"method not allowed: {what}"}, 405, headers=allow)
