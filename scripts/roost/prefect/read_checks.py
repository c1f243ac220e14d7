"""Checks that only read: is the server up, the right version, closed to strangers, usable.

What each check guards against was measured on Prefect 3.8.8.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

import anyio
import httpx

from roost.prefect.gate_pages import ask_report, ask_setting
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
_ANY_HOST = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never bound
_DEFAULT_PORTS = {"http": 80, "https": 443}
SQLITE, POSTGRES = "sqlite", "postgres"
WANTED = {SQLITE: "sqlite on the volume", POSTGRES: "postgres"}
"""What the server's report calls each backend of the environment file."""
_DATABASE_ADVICE = {
    SQLITE: (
        "A setting or a secret names another database, which backups do not contain. Remove it; or set "
        "database.backend: postgres, and database.url_secret to the secret with its address."
    ),
    POSTGRES: (
        "The server does not use the address in the secret that database.url_secret names. Remove "
        "every other setting and secret that names a database."
    ),
}


async def check_health(server: Server) -> str:
    """Wait until the process answers; it may be booting."""
    server.waiting.last = "it hangs without an answer"
    while True:
        seen = await _health(server)
        if not seen:
            return ""
        server.waiting.last = seen
        await anyio.sleep(server.poll_s)


async def _health(server: Server) -> str:
    """Return why the server is not up yet, empty when it is; fail on what no boot explains."""
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
    """Wait until the server reaches its database."""
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
    """Check that the pinned version is the one that runs."""
    found = await server.call("GET", "/admin/version")
    if not isinstance(found, str):
        raise TypeError("a version is a text")
    if server.version and found != server.version:
        raise CheckFailedError(
            f"runs {server.quote(found)}, pinned is {server.version}",
            "The image contains another Prefect than its name says. Build it again.",
        )
    return f"Prefect {server.quote(found)}"


async def check_database(server: Server) -> str:
    """Check that the database is the one that the file names, as far as the server shows it.

    A server on another database is backed up, restored and put to sleep as if it were on that of
    the file: each of them would then report success over an empty volume.
    """
    report = await ask_report(server)
    found = report.database if report else await _driver(server)
    wanted = WANTED.get(server.database, "")
    if not found:
        return "not proved: only Roost's own image reports its database"
    if wanted and found != wanted and not (report is None and wanted.startswith(found)):
        raise CheckFailedError(
            f"the server uses {found}, and its file names {wanted}",
            _DATABASE_ADVICE[server.database],
        )
    return found if report else f"{found}, by its driver alone"


async def _driver(server: Server) -> str:
    """Return the database of the driver in Prefect's settings, empty where none is set.

    Prefect never shows the address.
    """
    driver = await ask_setting(server, "server", "database", "driver")
    name = str(driver or "").partition("+")[0]
    return {"postgresql": POSTGRES, "sqlite": SQLITE}.get(name, "")


async def check_auth_closed(server: Server) -> str:
    """Check that the API refuses no and wrong credentials, and accepts ours."""
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
    """Return the hint for a server that refuses our login."""
    if server.made_up:
        return (
            "The login that was generated here is not the server's, which was given another one. Set "
            "PREFECT_SERVER_API_AUTH_STRING to that."
        )
    return "The value of PREFECT_SERVER_API_AUTH_STRING here is not the server's. Correct it."


async def check_costly_pages(server: Server) -> str:
    """Check that the pages are closed that block the event loop for seconds at each request."""
    for path in ("/docs", "/openapi.json"):
        answer = await server.http.get(path)
        if answer.status_code not in CLOSED:
            raise CheckFailedError(
                f"{path} answered {answer.status_code}; open, it costs seconds of CPU a request",
                "Run our image, which closes it, or smoke with --stock.",
            )
    return ""


UI_OFF = "off, by access.ui"


async def check_ui(server: Server) -> str:
    """Check that the UI is served, with an API address that browsers can use, or that it is off.

    The server says itself that it is off, because a rollback may lead to another `access.ui` than that
    of the file.
    """
    page = await server.http.get("/", headers={"accept": "text/html"}, follow_redirects=True)
    if page.status_code != HTTPStatus.OK or "text/html" not in page.headers.get("content-type", ""):
        if await ask_setting(server, "server", "ui", "enabled") is False:
            return UI_OFF
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
