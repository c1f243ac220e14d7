"""What a server says of itself: the report of our image, and the settings that any Prefect shows.

The report (deploy/roost_server/server_report.py) is there for the gate alone. Other images, and ours of
before, do not have it: then nothing is known, which is no finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import anyio
import httpx

from roost.prefect.admit_traffic import GATE_HEADERS
from roost.prefect.server import NOT_PREFECT, Server

REPORT_PATH = "/roost/report"
LIMIT_S = 5.0
API_PATH = "/api"
MAX_ERROR = 300


@dataclass(frozen=True)
class ServerReport:
    """What our image reports.

    Args:
        database: which one Prefect uses, such as `sqlite on the volume`.
        api_path: under which it serves its API.
        last_error: the last error that it logged, without secrets; empty where there was none.
    """

    database: str
    api_path: str
    last_error: str


async def ask_report(server: Server) -> ServerReport | None:
    """Ask a server for its report; None where it has none, or does not answer."""
    headers = {**server.login(), **GATE_HEADERS}
    found = await _ask(server, REPORT_PATH, headers)
    if not isinstance(found, dict) or not isinstance(found.get("database"), str):
        return None
    api_path, error = (str(found.get(key) or "") for key in ("api_path", "last_error"))
    return ServerReport(
        server.quote(found["database"]), server.quote(api_path), server.quote(error, MAX_ERROR)
    )


def quoted(last_error: str) -> str:
    """Return the sentence that quotes a server's last error, after a blank; empty where there was none."""
    return f' The server\'s last error: "{last_error}"' if last_error else ""


async def ask_setting(server: Server, *path: str) -> Any:
    """Return one of Prefect's own settings as it shows them; None where it does not."""
    found = await _ask(server, "/api/admin/settings", server.login())
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


async def _ask(server: Server, path: str, headers: dict[str, str]) -> Any:
    try:
        with anyio.fail_after(LIMIT_S):
            answer = await server.http.get(path, headers=headers)
            return answer.json() if answer.status_code == HTTPStatus.OK else None
    except (TimeoutError, httpx.HTTPError, *NOT_PREFECT):
        return None  # the checks find out what is wrong with it
