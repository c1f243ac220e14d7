"""After a migration our image lets only the gate in, so that going back loses nobody's work.

What the gate has proved good is opened to all (deploy/roost_server/maintenance_mode.py).
"""

from __future__ import annotations

from http import HTTPStatus

from roost.prefect.server import CheckFailedError, Server

GATE_HEADERS = {"x-roost-gate": "1"}
OPEN_PATH = "/roost/open"


async def check_opened(server: Server) -> str:
    """Whoever comes without the gate's header is let in from now on."""
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
