"""Send one call to Fly: again where its rule allows, every failure as one of our errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypedDict

import httpx

from roost.errors import FlyAnswerError, FlyUnavailableError, UsageError
from roost.fly.refusals import refusal, unreadable
from roost.http.connection import certificates, is_this_computer, read_address
from roost.http.exchange import ANSWER_S, ATTEMPTS, DEADLINE_S, TIMEOUT_S, exchange
from roost.http.lost_answers import lost_answer
from roost.http.reply import Json, Reply, T, decode
from roost.http.retry import AgainError, repeated
from roost.http.retry_rules import (
    Repeat,
    may_repeat_failure,
    may_repeat_status,
    retry_after_s,
)
from roost.http.size_limits import HEADERS, OversizedError
from roost.secret_text import SecretText

LEAST_S = 1.0
"""What a repeat that begins at the deadline has left."""
VISIBLE_S = 10.0
"""For so long a 404 for what was just made means "not visible yet" (flyctl waits 5 s)."""
NONCE = "fly-machine-lease-nonce"
_SCHEMES = re.compile(r"^(?:(?:FlyV1|Bearer)\s+)+", re.IGNORECASE)
_MACAROON = re.compile(r"(?:^|,)\s*fm\d")
_MIN_PIECE = 8  # a shorter one (the local Fly's `local`) is no secret, and stands in plain words


@dataclass(frozen=True)
class Call:
    """One request, and what the client must know to handle its failure."""

    verb: str
    path: str
    body: Json | None = None
    params: Mapping[str, str] | None = None
    nonce: str = ""
    repeat: Repeat | None = None
    """By its verb when None."""
    hidden: tuple[SecretText, ...] = ()
    """Values that no error may echo."""
    blocks_s: float = 0.0
    """How long the API itself holds the answer back."""

    @property
    def rule(self) -> Repeat:
        """When it may be sent again."""
        return self.repeat or Repeat.by_verb(self.verb)

    @property
    def changes(self) -> bool:
        """Return whether it changes anything on Fly."""
        return self.verb != "GET"

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


class Details(TypedDict, total=False):
    """The fields of a Call that only some calls have."""

    params: Mapping[str, str] | None
    nonce: str
    repeat: Repeat | None
    hidden: tuple[SecretText, ...]
    blocks_s: float


class FlyReply(Reply):
    """An answer of Fly's, read leniently where Go's JSON is."""

    def part(self, key: str) -> FlyReply:
        """Return what an envelope holds; a body that is no envelope is returned as it is."""
        return replace(self, body=self.body.get(key)) if isinstance(self.body, dict) else self

    def read_all(self, kind: type[T]) -> tuple[T, ...]:
        """Return the body as a list of a type; Go writes an empty list as null.

        Raises:
            FlyAnswerError: there is no body: read as an empty list it would say "none there".
        """
        if not self.response.content:
            raise self.wrong("empty, where a list belongs")
        if self.body is None:
            return ()
        return self.read(tuple[kind, ...])  # type: ignore[valid-type]  # a type known at run time


def authorization(token: SecretText) -> str:
    """Return the header's value: `FlyV1` for macaroons, `Bearer` for anything else, as flyctl does.

    Raises:
        UsageError: no token looks like that, and no header can carry it.
    """
    value = bare_token(token).reveal()
    return f"{'FlyV1' if _MACAROON.search(value) else 'Bearer'} {value}"


def bare_token(token: SecretText) -> SecretText:
    """Return the token without the scheme that may stand in front of it, as a password is.

    Raises:
        UsageError: no token looks like that, and no header can carry it.
    """
    value = _SCHEMES.sub("", token.reveal().strip())
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(
            "The Fly token holds a character that no token has.",
            advice="Copy it again, whole and in one line, into FLY_API_TOKEN.",
        )
    return SecretText(value)


def token_pieces(token: SecretText) -> tuple[SecretText, ...]:
    """Return the token and the parts of it that an answer might echo alone."""
    whole = token.reveal().strip()
    bare = _SCHEMES.sub("", whole)
    pieces = dict.fromkeys((whole, bare, *bare.split(",")))
    return tuple(SecretText(piece) for piece in pieces if len(piece) >= _MIN_PIECE)


def check_address(base_url: str) -> httpx.URL:
    """Read the API's address.

    Raises:
        UsageError: it is not one.
    """
    wrong = UsageError(
        "The address of Fly's API is not an http address.",
        where="FLY_FLAPS_BASE_URL",
        advice="Unset it, or give one like https://api.machines.dev",
    )
    return read_address(base_url, wrong)


class Transport:
    """A connection to the API that counts what it sends.

    Args:
        base_url: without `/v1`, such as https://api.machines.dev.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call goes on past this many seconds, its repeats included.
        now: the clock that Retry-After dates are read against.
        clock: seconds, for the deadline.

    Raises:
        UsageError: the address or the token is none.
    """

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
        url = check_address(base_url)
        self.calls = 0
        self._hidden = token_pieces(token)
        self._deadline_s = deadline_s
        self._now = now
        self._clock = clock
        self._young: dict[str, float] = {}
        self.http = httpx.AsyncClient(
            base_url=f"{str(url).rstrip('/')}/v1",
            headers={"authorization": authorization(token), "user-agent": "roost", **HEADERS},
            timeout=TIMEOUT_S,
            transport=transport,
            verify=certificates(),
            trust_env=not is_this_computer(url.host),  # a proxy is not the way to this machine
        )

    def __repr__(self) -> str:
        return f"Transport({self.http.base_url!r})"

    async def send(self, call: Call) -> FlyReply:
        """Send a call, again where its rule allows, and return the answer.

        Raises:
            FlyError: Fly refused, failed, or did not answer.
        """
        ends = self._clock() + self._deadline_s
        return await repeated(lambda: self._send_once(call, ends), ATTEMPTS, ends, self._clock)

    def made(self, path: str) -> None:
        """Remember that a thing was just made: it may not be visible everywhere yet."""
        self._young[path] = self._clock() + VISIBLE_S

    def removed(self, path: str) -> None:
        """Forget a thing that was made: from now on it is rightly not found."""
        self._young.pop(path, None)

    async def _send_once(self, call: Call, ends: float) -> FlyReply:
        self.calls += 1
        try:
            left_s = max(LEAST_S, ends - self._clock())
            limit_s = min(ANSWER_S, left_s) + call.blocks_s
            response = await exchange(self.http, self._request(call), limit_s)
        except OversizedError as failure:
            raise _not_read(failure, call) from None
        except httpx.RequestError as failure:
            lost = _no_answer(failure, call)
            raise (AgainError(lost) if may_repeat_failure(failure, call.rule) else lost) from None
        if response.is_success:
            body = decode(response, str(call), unreadable)
            return FlyReply(body, str(call), response, unreadable)
        raise self._refused(call, response)

    def _request(self, call: Call) -> httpx.Request:
        headers = {NONCE: call.nonce} if call.nonce else {}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        return self.http.build_request(
            call.verb,
            call.path,
            content=None if call.body is None else json.dumps(call.body, default=_revealed),
            params=call.params,
            headers=headers,
            timeout=TIMEOUT_S + call.blocks_s,
        )

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
        """Return whether a 404 may only mean "not visible yet"; of a lease it always means none."""
        if path.endswith("/lease"):
            return False
        return any(
            self._clock() < until and f"{path}/".startswith(f"{made}/")
            for made, until in self._young.items()
        )


def _revealed(value: object) -> str:
    """Return a value in clear: here it is sent, and nowhere before."""
    if isinstance(value, SecretText):
        return value.reveal()
    raise TypeError(f"a {type(value).__name__} is no JSON")


def _no_answer(failure: httpx.RequestError, call: Call) -> FlyUnavailableError:
    lost = lost_answer(failure, "Fly", changes=call.changes)
    error = FlyUnavailableError(lost.what, where=str(call), advice=lost.advice)
    error.ambiguous = lost.ambiguous
    return error


def _not_read(failure: OversizedError, call: Call) -> FlyAnswerError:
    lost = lost_answer(failure, "Fly", changes=call.changes)
    return FlyAnswerError(lost.what, where=str(call), advice=lost.advice)
