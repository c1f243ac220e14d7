"""Calls to Prefect's API about its objects: what it refuses, in its own words and without secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from roost.prefect.server import NOT_PREFECT, Server
from roost.secret_text import SecretText

Json = dict[str, Any]

MAX_WORDS = 400
NOT_PREFECT_S = "the server answers something else than Prefect does"


class ObjectRefusedError(Exception):
    """Prefect refuses one object; the text says why. The others can go on."""


class ObjectsUnreachableError(Exception):
    """The server does not answer, or refuses the login: no object can go on."""


@dataclass(frozen=True)
class ObjectsApi:
    """The API of one server.

    Args:
        server: the server, with its login.
        hidden: the secret values that are sent; Prefect repeats in a refusal what it was sent.
    """

    server: Server
    hidden: tuple[SecretText, ...] = field(default=(), repr=False)

    async def read(self, path: str) -> Any:
        """Return what is at a path; None if there is nothing.

        Raises:
            ObjectRefusedError: Prefect refuses the call.
            ObjectsUnreachableError: the server does not answer as a Prefect server does.
        """
        answer = await self._send("GET", path, None)
        return None if answer.status_code == HTTPStatus.NOT_FOUND else self._content(answer)

    async def write(self, verb: str, path: str, body: Any = None) -> Any:
        """Send a call and return its answer; see `read` for errors."""
        return self._content(await self._send(verb, path, body))

    async def remove(self, path: str) -> None:
        """Delete what is at a path; it may be gone already. See `read` for errors."""
        answer = await self._send("DELETE", path, None)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            self._content(answer)

    async def _send(self, verb: str, path: str, body: Any) -> httpx.Response:
        try:
            answer = await self.server.send(verb, path, body)
        except httpx.HTTPError as error:
            raise ObjectsUnreachableError(
                f"the server does not answer ({type(error).__name__})"
            ) from None  # the request, and so a secret, would be in the cause
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise ObjectsUnreachableError("the server refuses the login")
        if (
            answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
        ):  # Prefect's fault, with this object
            raise ObjectRefusedError("Prefect failed on it (status 500); its log says why")
        if answer.is_server_error:
            raise ObjectsUnreachableError(f"the server failed (status {answer.status_code})")
        return answer

    def _content(self, answer: httpx.Response) -> Any:
        try:
            content = answer.json() if answer.content else None
        except NOT_PREFECT:
            raise ObjectsUnreachableError(NOT_PREFECT_S) from None
        if answer.is_success:
            return content
        raise ObjectRefusedError(f"{self._words(content)} (status {answer.status_code})")

    def _words(self, content: Any) -> str:
        """Return Prefect's reason: each wrong field, or its message."""
        details = content.get("exception_detail") if isinstance(content, dict) else None
        if isinstance(details, list):
            found = "; ".join(map(_detail, details))
        elif isinstance(content, dict):
            found = str(content.get("detail") or content.get("exception_message") or "refused")
        else:
            found = "refused"
        for value in self.hidden:  # before the text is put on one line, as a value may have several
            found = value.redact(found)
        return self.server.quote(found, MAX_WORDS)


def _detail(detail: Any) -> str:
    """Return one detail of a 422: the field and what is wrong with it, without the value."""
    if not isinstance(detail, dict):
        return "refused"
    place = ".".join(str(part) for part in detail.get("loc") or () if part != "body")
    return f"{place}: {detail.get('msg', 'refused')}" if place else str(detail.get("msg"))
