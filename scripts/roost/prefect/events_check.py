"""Check that an event, sent as Prefect's client sends it, is stored and comes back by the API.

Task runs are events too: a server whose socket for events is closed completes flow runs but stores no
task run. Prefect's client opens `/api/events/in` with the subprotocol `prefect`, sends its login as the first
message, waits for `auth_success`, and then sends one event after the other
(prefect.events.clients.PrefectEventsClient, 3.6.14 to 3.9.1).
"""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import anyio

from roost.prefect.server import LOOK_AT_LOG, CheckFailedError, Server
from roost.prefect.websocket import (
    SocketClosedError,
    UpgradeRefusedError,
    WebSocket,
    open_websocket,
)

PATH = "/api/events/in"
SUBPROTOCOL = "prefect"
NAME = "roost.smoke"
"""The name of the event, and the prefix of its resource's id; no automation of Prefect matches it."""
CLOCKS = timedelta(days=1)
"""The largest difference between the server's clock and ours."""
POLICY_VIOLATION = 1008
"""The code with which Prefect closes a socket with a wrong login (RFC 6455, 7.4.1)."""
REFUSED: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: (
        "Something before the server requires a login of its own for sockets. Let it pass requests to "
        f"{PATH}: the server checks its login within the socket."
    ),
    HTTPStatus.FORBIDDEN: (
        "Prefect answers so to a socket without the subprotocol prefect. Let the proxy before the "
        "server pass the header Sec-WebSocket-Protocol; or does something else guard the address?"
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: LOOK_AT_LOG,
}
NO_SOCKETS = (
    f"Something before the server blocks WebSockets. Let requests to {PATH} keep their headers "
    "Connection and Upgrade; without them task runs and events are lost."
)
LOGIN_REFUSED = "The server requires another login for events. Set PREFECT_SERVER_API_AUTH_STRING to its user:password."
BROKEN = (
    "The server, or something before it, broke the socket. Look at the server's log; a proxy has to "
    "keep sockets open."
)
NOT_KEPT = (
    "The server accepted the event and does not store it. Is PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED "
    "off? Look at the server's log."
)


async def check_events(server: Server) -> str:
    """Send an event through the socket, and wait until the API returns it."""
    server.waiting.last = f"{PATH} does not answer"
    event = make_event(server)
    try:
        async with open_websocket(server.http, PATH, SUBPROTOCOL, server.login()) as socket:
            await _log_in(server, socket)
            await socket.send(json.dumps(event))
            await wait_for_event(server, event)
    except UpgradeRefusedError as refused:
        raise CheckFailedError(
            f"{PATH} answered {refused.status}, not 101",
            REFUSED.get(refused.status, NO_SOCKETS),
        ) from None
    except SocketClosedError as closed:
        reason = server.quote(closed.reason)
        raise CheckFailedError(
            f"{PATH} was closed ({closed.code}{f': {reason}' if reason else ''})",
            LOGIN_REFUSED if closed.code == POLICY_VIOLATION else BROKEN,
        ) from None
    return "sent through the socket, read back"


def make_event(server: Server) -> dict[str, Any]:
    """Return an event as Prefect's client sends it (prefect.events.schemas.events.Event)."""
    key = uuid.uuid4()
    return {
        "id": str(key),
        "occurred": server.now().isoformat(),
        "event": NAME,
        "resource": {"prefect.resource.id": f"{NAME}.{key.hex}"},
        "related": [],
        "payload": {},
    }


async def _log_in(server: Server, socket: WebSocket) -> None:
    """Send the login and wait for its answer; a server without a login answers too."""
    if socket.subprotocol != SUBPROTOCOL:
        raise CheckFailedError(
            f"{PATH} opened without the subprotocol prefect",
            "Let the proxy before the server pass the header Sec-WebSocket-Protocol.",
        )
    token = server.auth.reveal() if server.auth else None
    await socket.send(json.dumps({"type": "auth", "token": token}))
    answer = json.loads(await socket.receive())
    if answer["type"] != "auth_success":
        raise CheckFailedError(f"{PATH} answered {server.quote(str(answer))}", LOGIN_REFUSED)


async def wait_for_event(server: Server, event: dict[str, Any]) -> None:
    """Wait until the API has the event; Prefect writes the events it accepted every 5 s.

    Only `Server.call` repeats a failed request; the limit of the check ends the wait.
    """
    now = server.now()
    occurred = {"since": (now - CLOCKS).isoformat(), "until": (now + CLOCKS).isoformat()}
    chosen = {"filter": {"id": {"id": [event["id"]]}, "occurred": occurred}, "limit": 1}
    server.waiting.last = "the event did not come back"
    while True:
        found = await server.call("POST", "/events/filter", chosen)
        if [each["id"] for each in found["events"]] == [event["id"]]:
            return
        await anyio.sleep(server.poll_s)
