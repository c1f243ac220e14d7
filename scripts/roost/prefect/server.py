"""The Prefect server that is checked, and calls to its API."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import anyio
import httpx

from roost.http.messages import one_line
from roost.prefect.transport import basic
from roost.secret_text import SecretText

Json = dict[str, Any]

BUSY_ATTEMPTS = 12
MAX_QUOTE = 160
LOOK_AT_LOG = "Look at the server's log."
NOT_PREFECT = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""The errors that reading an answer with another shape than Prefect's raises."""


class CheckFailedError(Exception):
    """A check failed: what was observed, a hint, and a name where it differs from the check's."""

    def __init__(self, detail: str, advice: str = LOOK_AT_LOG, *, name: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.advice = advice
        self.name = name


@dataclass
class Waiting:
    """The last observation of a check that waits, shown when its time is over."""

    last: str = ""


@dataclass(frozen=True)
class Server:
    """A Prefect server.

    Args:
        http: a client whose base URL is the server's address, without `/api`.
        auth: `user:password`, None where the server asks for none.
        version: the version it should run; empty for any.
        headers: sent with every call that logs in.
        poll_s: seconds between two polls.
        now: the clock that the age of leftovers is read against.
        made_up: whether the login was generated for a server on this computer, as none was set.
        database: the backend that its file names, `sqlite` or `postgres`; empty for any.
        region: where the machine is that answers; empty for any machine.
    """

    http: httpx.AsyncClient
    auth: SecretText | None = None
    version: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    poll_s: float = 0.25
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    waiting: Waiting = field(default_factory=Waiting, repr=False, compare=False)
    made_up: bool = False
    database: str = ""
    region: str = ""

    def login(self) -> dict[str, str]:
        """Return the headers with the login."""
        return {**(basic(self.auth) if self.auth else {}), **self.headers}

    async def call(self, verb: str, path: str, body: Any = None, *, also: int | None = None) -> Any:
        """Call the API and return its answer; the status `also` counts as a success.

        A busy SQLite makes the server answer 503 (nearly always to the removal of a flow right
        after its run), so a 503 is sent again.

        Raises:
            CheckFailedError: the status is neither a success nor `also`.
        """
        answer = await self.send(verb, path, body)
        if not answer.is_success and answer.status_code != also:
            raise CheckFailedError(
                f"{verb} /api{path} answered {answer.status_code}: {self.quote(answer.text)}",
                _advice_for(answer.status_code),
            )
        return answer.json() if answer.content else None

    async def status(self, path: str) -> int:
        """Return the status of a path of the API, success or not."""
        return (await self.send("GET", path)).status_code

    async def send(self, verb: str, path: str, body: Any = None) -> httpx.Response:
        """Call the API and return the answer, whatever its status; a 503 is sent again."""
        path = f"/api{path}"
        answer = await self._send(verb, path, body)
        for attempt in range(1, BUSY_ATTEMPTS):
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            await anyio.sleep(self.poll_s * attempt)
            answer = await self._send(verb, path, body)
        return answer

    async def _send(self, verb: str, path: str, body: Any) -> httpx.Response:
        return await self.http.request(verb, path, json=body, headers=self.login())

    def quote(self, text: str, most: int = MAX_QUOTE) -> str:
        """Return the beginning of an answer on one line, printable and without our credentials."""
        return one_line(self.auth.redact(text) if self.auth else text, most)


def _advice_for(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "The server requires another login. Set PREFECT_SERVER_API_AUTH_STRING to its user:password."
    return LOOK_AT_LOG


async def with_csrf(server: Server) -> Server:
    """Return the server with the token that changes need where CSRF protection is on (422: off)."""
    client = secrets.token_hex(8)
    try:
        answer = await server.http.get(
            "/api/csrf-token", params={"client": client}, headers=server.login()
        )
        token = str(answer.json()["token"]) if answer.status_code == HTTPStatus.OK else ""
    except (httpx.HTTPError, *NOT_PREFECT):
        token = ""  # the checks that need it will fail
    headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client}
    return replace(server, headers={**server.headers, **headers}) if token else server
