"""Checks that only look: is it up, is it the right one, is it shut, is it usable.

What each guards against was measured on Prefect 3.8.8.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

import anyio
import httpx

from roost.prefect.server import LOOK_AT_LOG, CheckFailedError, Server
from roost.prefect.transport import basic
from roost.secret_text import SecretText

WHILE_BOOTING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
CLOSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_ANY_HOST = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, never bound
_DEFAULT_PORTS = {"http": 80, "https": 443}


async def check_health(server: Server) -> str:
    """The process answers; polls, because it may be booting."""
    server.waiting.last = "it hangs without an answer"
    while True:
        seen = await _look_at_health(server)
        if not seen:
            return ""
        server.waiting.last = seen
        await anyio.sleep(server.poll_s)


async def _look_at_health(server: Server) -> str:
    """Return what stands in the way, empty for health; what no boot explains is a finding."""
    try:
        answer = await server.http.get("/api/health")
    except httpx.TransportError as failure:
        return _why_no_answer(failure)
    if answer.status_code in WHILE_BOOTING:
        return f"answered {answer.status_code}"
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise CheckFailedError(
            "/api/health asks for a login",
            "Prefect 3.1.8 to 3.1.12 guard it by mistake. Use a later version.",
            name="health without login",
        )
    if answer.status_code != HTTPStatus.OK or answer.json() is not True:
        place = answer.headers.get("location", "")
        to = f" to {server.quote(place)}" if place else f": {server.quote(answer.text)}"
        raise CheckFailedError(
            f"/api/health answered {answer.status_code}{to}",
            "Is this the address of a Prefect server, without /api and with the right scheme?",
        )
    return ""


def _why_no_answer(failure: httpx.TransportError) -> str:
    match failure:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return f"cannot connect ({str(failure) or type(failure).__name__})"
        case httpx.TimeoutException():
            return "it hangs without an answer"
        case _:
            return f"the connection broke ({type(failure).__name__})"


async def check_ready(server: Server) -> str:
    """The database answers."""
    server.waiting.last = "it hangs without an answer"
    while True:
        answer = await server.http.get("/api/ready")
        if answer.status_code == HTTPStatus.OK:
            return ""
        server.waiting.last = f"answered {answer.status_code}: {server.quote(answer.text)}"
        if answer.status_code not in WHILE_BOOTING:
            raise CheckFailedError(server.waiting.last)
        await anyio.sleep(server.poll_s)


async def check_version(server: Server) -> str:
    """The version that was pinned is the one that runs."""
    found = await server.call("GET", "/admin/version")
    if not isinstance(found, str):
        raise TypeError("a version is a text")
    if server.version and found != server.version:
        raise CheckFailedError(
            f"runs {server.quote(found)}, pinned is {server.version}",
            "The image holds another Prefect than its name says. Build it anew.",
        )
    return f"Prefect {server.quote(found)}"


async def check_auth_closed(server: Server) -> str:
    """Without credentials, and with wrong ones, the API is shut; with them it opens."""
    wrong = basic(SecretText(f"nobody:{secrets.token_hex(8)}"))
    for kind, headers in (("no", {}), ("wrong", wrong)):
        answer = await server.http.get("/api/admin/version", headers=headers)
        if answer.status_code != HTTPStatus.UNAUTHORIZED:
            raise CheckFailedError(
                f"with {kind} credentials the API answered {answer.status_code}, not 401",
                "Anybody can use this server. Set the secret PREFECT_SERVER_API_AUTH_STRING."
                if answer.is_success
                else LOOK_AT_LOG,
            )
    status = await server.status("/admin/version")
    if status != HTTPStatus.OK:
        raise CheckFailedError(
            f"with our credentials the API answered {status}, not 200",
            _about_login(server) if status == HTTPStatus.UNAUTHORIZED else LOOK_AT_LOG,
        )
    return "401 without, 200 with"


def _about_login(server: Server) -> str:
    """Return what to do where the server does not know our login."""
    if server.made_up:
        return (
            "The login made up here is not the server's, which was given another one. Set "
            "PREFECT_SERVER_API_AUTH_STRING to that."
        )
    return "The value of PREFECT_SERVER_API_AUTH_STRING here is not the server's. Correct it."


async def check_costly_pages(server: Server) -> str:
    """Pages that cost seconds of the event loop a request are closed to strangers."""
    for path in ("/docs", "/openapi.json"):
        answer = await server.http.get(path)
        if answer.status_code not in CLOSED:
            raise CheckFailedError(
                f"{path} answered {answer.status_code}; open, it costs seconds of CPU a request",
                "Run our image, which closes it, or smoke with --stock.",
            )
    return ""


async def check_ui(server: Server) -> str:
    """The UI is served, and tells browsers an API address that they can use."""
    page = await server.http.get("/", headers={"accept": "text/html"}, follow_redirects=True)
    if page.status_code != HTTPStatus.OK or "text/html" not in page.headers.get("content-type", ""):
        raise CheckFailedError(f"/ answered {page.status_code} and no page", LOOK_AT_LOG)
    settings = await server.http.get("/ui-settings")
    address = str(settings.json()["api_url"])
    if not usable_in_browser(address, str(server.http.base_url)):
        raise CheckFailedError(
            f"the UI calls {server.quote(address) or 'nothing'}, which a browser cannot use here",
            "Set PREFECT_SERVER_UI_API_URL to /api.",
        )
    return f"API at {server.quote(address)}"


def usable_in_browser(address: str, base_url: str) -> bool:
    """Return whether a page from `base_url` can call `address`: its path, or the same origin."""
    if address.startswith("/"):
        return not address.startswith("//")
    there = urlsplit(address)
    return there.hostname not in _ANY_HOST and _origin(there) == _origin(urlsplit(base_url))


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme)
