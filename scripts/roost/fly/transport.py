"""Send calls to Fly: its tokens, leases and secrets, and things that are not visible yet."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypedDict

import httpx

from roost.errors import FlyAnswerError, FlyUnavailableError, UsageError
from roost.fly.refusals import refusal, unreadable
from roost.http import transport as shared
from roost.http.connection import is_token, read_address, service_client
from roost.http.exchange import DEADLINE_S, TIMEOUT_S
from roost.http.reply import Json, Reply, T
from roost.http.retry import AgainError, Repeat, may_repeat_status, retry_after_s
from roost.secret_text import SecretText

VISIBLE_S = 10.0
"""For so long a 404 for what was just created means "not visible yet" (flyctl waits 5 s)."""
NONCE = "fly-machine-lease-nonce"
_SCHEMES = re.compile(r"^(?:(?:FlyV1|Bearer)\s+)+", re.IGNORECASE)
_MACAROON = re.compile(r"(?:^|,)\s*fm\d")
_MIN_PIECE = 8  # a shorter one (the local Fly's `local`) is no secret, and is part of common words


@dataclass(frozen=True)
class Call(shared.Call):
    """One request to Fly."""

    nonce: str = ""
    """Of the lease under which a machine is changed."""
    repeat: Repeat | None = None
    """None is the rule of the verb."""
    hidden: tuple[SecretText, ...] = ()
    """Values that no error may echo."""

    @property
    def rule(self) -> Repeat:
        """When the call may be sent again."""
        return self.repeat or super().rule


class Details(TypedDict, total=False):
    """The fields of a Call that only some calls have."""

    params: Mapping[str, str] | None
    nonce: str
    repeat: Repeat | None
    hidden: tuple[SecretText, ...]
    blocks_s: float


class FlyReply(Reply):
    """An answer of Fly's, read as leniently as Go's JSON requires."""

    def part(self, key: str) -> FlyReply:
        """Return the content of an envelope; a body without an envelope is returned as it is."""
        return replace(self, body=self.body.get(key)) if isinstance(self.body, dict) else self

    def read_all(self, kind: type[T]) -> tuple[T, ...]:
        """Return the body as a list of a type; Go writes an empty list as null.

        Raises:
            FlyAnswerError: there is no body; an empty list would mean that nothing exists.
        """
        if not self.response.content:
            raise self.wrong("empty, where a list belongs")
        if self.body is None:
            return ()
        return self.read(tuple[kind, ...])  # type: ignore[valid-type]  # a type known at run time


def authorization(token: SecretText) -> str:
    """Return the header's value: `FlyV1` for macaroons, `Bearer` for others, as flyctl does.

    Raises:
        UsageError: the text cannot be a token.
    """
    value = bare_token(token).reveal()
    return f"{'FlyV1' if _MACAROON.search(value) else 'Bearer'} {value}"


def bare_token(token: SecretText) -> SecretText:
    """Return the token without a scheme before it, as it is used for a password.

    Raises:
        UsageError: the text cannot be a token.
    """
    value = _SCHEMES.sub("", token.reveal().strip())
    if not is_token(value):
        raise UsageError(
            "The Fly token holds a character that no token has.",
            advice="Copy it again, whole and in one line, into FLY_API_TOKEN.",
        )
    return SecretText(value)


def token_pieces(token: SecretText) -> tuple[SecretText, ...]:
    """Return the token and those parts of it that an answer might echo alone."""
    whole = token.reveal().strip()
    bare = _SCHEMES.sub("", whole)
    pieces = dict.fromkeys((whole, bare, *bare.split(",")))
    return tuple(SecretText(piece) for piece in pieces if len(piece) >= _MIN_PIECE)


def check_address(base_url: str) -> httpx.URL:
    """Read the API's address.

    Raises:
        UsageError: it is no http address.
    """
    wrong = UsageError(
        "The address of Fly's API is not an http address.",
        where="FLY_FLAPS_BASE_URL",
        advice="Unset it, or give one like https://api.machines.dev",
    )
    return read_address(base_url, wrong)


class Transport(shared.ServiceTransport[Call, FlyReply]):
    """A connection to the API that counts the requests it sends.

    Args:
        base_url: without `/v1`, such as https://api.machines.dev.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call goes on past this many seconds, its repeats included.
        now: the clock that Retry-After dates are read against.
        clock: seconds, for the deadline.

    Raises:
        UsageError: the address or the token cannot be one.
    """

    service = shared.Service("Fly", FlyUnavailableError, FlyAnswerError, unreadable)

    def __init__(  # noqa: PLR0913 - what is outside of it is passed in
        self,
        base_url: str,
        token: SecretText,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline_s: float = DEADLINE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        address = f"{str(check_address(base_url)).rstrip('/')}/v1"
        headers = {"authorization": authorization(token)}
        http = service_client(address, headers, TIMEOUT_S, transport)
        super().__init__(http, deadline_s=deadline_s, now=now, clock=clock)
        self._hidden = token_pieces(token)
        self._young: dict[str, float] = {}

    def made(self, path: str) -> None:
        """Record that a thing was just created: it may not be visible everywhere yet."""
        self._young[path] = self._clock() + VISIBLE_S

    def removed(self, path: str) -> None:
        """Record that a thing is removed: from now on a 404 for it is right."""
        self._young.pop(path, None)

    def _headers(self, call: Call) -> dict[str, str]:
        return {NONCE: call.nonce} if call.nonce else {}

    def _encode(self, body: Json) -> str:
        return json.dumps(body, default=_revealed)

    def _reply(self, call: Call, response: httpx.Response, body: Any) -> FlyReply:
        return FlyReply(body, str(call), response, unreadable)

    def _refused(self, call: Call, response: httpx.Response) -> Exception:
        error = refusal(response, str(call), (*call.hidden, *self._hidden))
        if isinstance(error, FlyUnavailableError):
            error.ambiguous = call.changes
        if may_repeat_status(response.status_code, call.rule):
            return AgainError(error, retry_after_s(response, self._now))
        if response.status_code == httpx.codes.NOT_FOUND and self._is_young(call.path):
            return AgainError(error)
        return error

    def _is_young(self, path: str) -> bool:
        """Return whether a 404 may mean "not visible yet"; for a lease it always means none."""
        if path.endswith("/lease"):
            return False
        return any(
            self._clock() < until and f"{path}/".startswith(f"{made}/")
            for made, until in self._young.items()
        )


def _revealed(value: object) -> str:
    """Return a secret in clear: only here, where it is sent."""
    if isinstance(value, SecretText):
        return value.reveal()
    raise TypeError(f"a {type(value).__name__} is no JSON")
