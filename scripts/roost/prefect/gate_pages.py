"""Pages of a server for the gate: the report, the settings, and the one that opens it to all.

The report (deploy/roost_server/server_report.py) exists only in our image, since some release of it.
Where a server has none, nothing is known, and no check fails for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import anyio
import httpx

from roost.prefect.server import NOT_PREFECT, CheckFailedError, Server

GATE_HEADERS = {"x-roost-gate": "1"}
OPEN_PATH = "/roost/open"
REPORT_PATH = "/roost/report"
LIMIT_S = 5.0
API_PATH = "/api"
MAX_ERROR = 300


@dataclass(frozen=True)
class ServerReport:
    """The report of our image.

    Args:
        database: the one that Prefect uses, such as `sqlite on the volume`.
        api_path: the path of its API.
        last_error: the last error in its log, without secrets; empty where there was none.
    """

    database: str
    api_path: str
    last_error: str


async def ask_whole_report(server: Server) -> dict[str, Any]:
    """Return a server's report as it sent it; empty where it has none, or does not answer."""
    found = await _ask(server, REPORT_PATH, {**server.login(), **GATE_HEADERS})
    return found if isinstance(found, dict) else {}


async def ask_report(server: Server) -> ServerReport | None:
    """Return the report of a server; None where it has none, or does not answer."""
    found = await ask_whole_report(server)
    if not isinstance(found.get("database"), str):
        return None
    api_path, error = (str(found.get(key) or "") for key in ("api_path", "last_error"))
    return ServerReport(
        server.quote(found["database"]), server.quote(api_path), server.quote(error, MAX_ERROR)
    )


def quoted(last_error: str) -> str:
    """Return a blank and the sentence that quotes a server's last error; empty without an error."""
    return f' The server\'s last error: "{last_error}"' if last_error else ""


async def ask_setting(server: Server, *path: str) -> Any:
    """Return one of Prefect's settings, whatever name set it; None where the server does not show it."""
    found = await _ask(server, "/api/admin/settings", server.login())
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


async def check_opened(server: Server) -> str:
    """Open the server to all, and check that a client without the gate's header is let in.

    After a migration our image admits only the gate, so that a rollback loses nobody's work
    (deploy/roost_server/maintenance_mode.py).
    """
    opened = await server.http.post(OPEN_PATH, headers=server.login())
    request = server.http.build_request("GET", "/api/health")
    for name in GATE_HEADERS:
        request.headers.pop(name, None)
    answer = await server.http.send(request)
    if answer.status_code != HTTPStatus.OK:
        raise CheckFailedError(
            f"asked to open, the server answered {opened.status_code}, and clients still get "
            f"{answer.status_code}"
        )
    return ""


async def _ask(server: Server, path: str, headers: dict[str, str]) -> Any:
    try:
        with anyio.fail_after(LIMIT_S):
            answer = await server.http.get(path, headers=headers)
            return answer.json() if answer.status_code == HTTPStatus.OK else None
    except (TimeoutError, httpx.HTTPError, *NOT_PREFECT):
        return None  # the checks find what is wrong with the server
