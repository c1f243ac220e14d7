"""Read requests of flow servers and Prefect's replies to them, and answer in JSON."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from roost_server.asgi import Message, Scope, Send
from roost_server.flow_servers import Served
from roost_server.write_requests import Body

LONGEST_BODY = 2**20
SCHEDULED = "SCHEDULED"
ACCEPTED = "ACCEPT"
"""What Prefect says of a state that it set as it was proposed."""


def uncompressed(scope: Scope) -> Scope:
    """Return the scope of a request without the wish for a compressed reply, so that it is read."""
    headers = [each for each in scope["headers"] if each[0] != b"accept-encoding"]
    return {**scope, "headers": headers}


@dataclass
class Reply:
    """Passes a reply of Prefect on, and reads whether it accepted a state."""

    send: Send
    status: int = 0
    body: bytes = b""

    async def __call__(self, message: Message) -> None:
        """Handle one message of the reply."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif len(self.body) < LONGEST_BODY:
            self.body += message.get("body", b"")
        await self.send(message)

    def is_accepted(self) -> bool:
        """Return whether the state was accepted; True if the reply cannot be read."""
        if self.status >= 500 or not self.status:  # noqa: PLR2004 - it may have been written
            return True
        if answer := self._answer():
            return answer == ACCEPTED
        return self.status < 400  # noqa: PLR2004 - refused

    def says_accepted(self) -> bool:
        """Return whether the reply can be read, and says that the state was accepted."""
        return self.status < 400 and self._answer() == ACCEPTED  # noqa: PLR2004 - refused

    def _answer(self) -> str:
        with suppress(ValueError, AttributeError):
            return str(json.loads(self.body).get("status") or "")
        return ""


async def answer_json(send: Send, status: int, document: Any) -> None:
    """Answer with a JSON document."""
    kind = (b"content-type", b"application/json")
    await send({"type": "http.response.start", "status": status, "headers": [kind]})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})


async def answer_failure(send: Send, error: Exception) -> None:
    """Answer 503, which clients retry, and log why."""
    print(f"roost: a record of a flow server was not written: {type(error).__name__}", flush=True)
    detail = "The server cannot write its database now. Try again."
    await answer_json(send, 503, {"detail": detail})


def read_document(body: Body) -> Any:
    """Return the JSON document of a request; None if it is none, or too long."""
    if body.size > LONGEST_BODY:
        return None
    body.file.seek(0)
    with suppress(ValueError, RecursionError):
        return json.loads(body.file.read())
    return None


def read_polled(document: Any, pool: str | None) -> Served:
    """Return what a poll asks for: deployments, or a pool, of which it may name queues.

    Others than ids and names are left out.
    """
    key = "work_queue_names" if pool else "deployment_ids"
    found = document.get(key) if isinstance(document, dict) else None
    listed = found if isinstance(found, list) else []
    if pool is None:
        return Served(frozenset(str(UUID(each)) for each in listed if is_uuid(each)))
    queues = frozenset(each for each in listed if isinstance(each, str))
    return Served(pools=frozenset({pool}), queues={pool: queues} if queues else {})


def read_proposed(document: Any) -> str:
    """Return the type of the state that a request proposes; empty if there is none."""
    state = document.get("state") if isinstance(document, dict) else None
    return str(state.get("type")) if isinstance(state, dict) else ""


def begins_by(document: Any, latest: datetime) -> bool:
    """Return whether a request creates a run that is due by a time, also if it names none."""
    state = document.get("state") if isinstance(document, dict) else None
    if not isinstance(state, dict):
        return isinstance(document, dict)
    details = state.get("state_details")
    is_scheduled = bool(state.get("type", SCHEDULED) == SCHEDULED)
    at = details.get("scheduled_time") if isinstance(details, dict) else None
    if not is_scheduled or at is None:
        return is_scheduled
    with suppress(ValueError, TypeError):
        return datetime.fromisoformat(at) <= latest
    return False


def is_uuid(text: Any) -> bool:
    """Return whether a value is the text of an id, as Prefect writes ids."""
    with suppress(ValueError, AttributeError, TypeError):
        return bool(UUID(text))
    return False
