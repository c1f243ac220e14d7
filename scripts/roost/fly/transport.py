"""Send one call to Fly: again where its rule allows, every failure as one of our errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any, TypedDict, TypeVar

import anyio
import httpx
from pydantic import TypeAdapter, ValidationError

from roost.errors import FlyAnswerError, FlyUnavailableError, UsageError
from roost.fly.refusals import one_line, refusal, unreadable
from roost.fly.retries import (
    Repeat,
    may_repeat_failure,
    may_repeat_status,
    retry_after_s,
    was_sent,
)
from roost.http.connection import is_this_computer, read_address
from roost.http.retry import AgainError, repeated
from roost.http.size_limits import HEADERS, OversizedError, bounded
from roost.secret_text import SecretText

Json = dict[str, Any]
T = TypeVar("T")

TIMEOUT_S = 30.0
ANSWER_S = 60.0
"""How long one answer may take from its first byte to its last: a drip never ends by itself."""
DEADLINE_S = 120.0
"""How long one call may take with all its repeats, beside what the API itself holds it back."""
LEAST_S = 1.0
"""What a repeat that begins at the deadline has left."""
ATTEMPTS = 6
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
        """Say whether it changes anything on Fly."""
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


@dataclass(frozen=True)
class Reply:
    """A success: its decoded body, and what an error about it must name."""

    body: Any
    where: str
    response: httpx.Response

    def part(self, key: str) -> Reply:
        """Give what an envelope holds; what is no envelope stays as it is."""
        return replace(self, body=self.body.get(key)) if isinstance(self.body, dict) else self

    def read(self, kind: type[T]) -> T:
        """Give the body as a type.

        Raises:
            FlyAnswerError: it is not what Fly documents.
        """
        try:
            return TypeAdapter(kind).validate_python(self.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the body"
            raise self.wrong(one_line(f"{place}: {first['msg']}")) from None

    def read_all(self, kind: type[T]) -> tuple[T, ...]:
        """Give the body as a list of a type; Go writes an empty list as null."""
        if not self.response.content:
            raise self.wrong("empty, where a list belongs")  # as a list it would say: none there
        if self.body is None:
            return ()
        return self.read(tuple[kind, ...])  # type: ignore[valid-type]  # a type known at run time

    def wrong(self, reason: str) -> FlyAnswerError:
        """Give the error that says what is wrong with this answer."""
        return unreadable(self.response, self.where, reason)


def authorization(token: SecretText) -> str:
    """Give the header's value: `FlyV1` for macaroons, `Bearer` for anything else, as flyctl does.

    Raises:
        UsageError: no token looks like that, and no header can carry it.
    """
    value = bare_token(token).reveal()
    return f"{'FlyV1' if _MACAROON.search(value) else 'Bearer'} {value}"


def bare_token(token: SecretText) -> SecretText:
    """Give the token without the scheme that may stand in front of it, as a password is.

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
    """Give the token and the parts of it that an answer might echo alone."""
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
            trust_env=not is_this_computer(url.host),  # a proxy is not the way to this machine
        )

    def __repr__(self) -> str:
        return f"Transport({self.http.base_url!r})"

    async def send(self, call: Call) -> Reply:
        """Send a call, again where its rule allows, and give the answer.

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

    async def _send_once(self, call: Call, ends: float) -> Reply:
        self.calls += 1
        try:
            response = await self._exchange(call, max(LEAST_S, ends - self._clock()))
        except OversizedError as failure:
            raise _not_read(failure, call) from None
        except httpx.RequestError as failure:
            lost = _no_answer(failure, call)
            raise (AgainError(lost) if may_repeat_failure(failure, call.rule) else lost) from None
        if response.is_success:
            return _decode(response, str(call))
        raise self._refused(call, response)

    async def _exchange(self, call: Call, left_s: float) -> httpx.Response:
        """Send a call once and read the whole answer, within its limits of time and size."""
        try:
            with anyio.fail_after(min(ANSWER_S, left_s) + call.blocks_s):
                response = await self.http.send(self._request(call), stream=True)
                try:
                    await bounded(response).aread()
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx.ReadTimeout("the answer did not end") from None
        return response

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
        """Say whether a 404 may only mean "not visible yet"; of a lease it always means none."""
        if path.endswith("/lease"):
            return False
        return any(
            self._clock() < until and f"{path}/".startswith(f"{made}/")
            for made, until in self._young.items()
        )


def _revealed(value: object) -> str:
    """Give a value in clear: here it is sent, and nowhere before."""
    if isinstance(value, SecretText):
        return value.reveal()
    raise TypeError(f"a {type(value).__name__} is no JSON")


def _no_answer(failure: httpx.RequestError, call: Call) -> FlyUnavailableError:
    kind = type(failure).__name__
    if not was_sent(failure):
        return FlyUnavailableError(
            f"Fly could not be reached ({kind}).",
            where=str(call),
            advice="This call changed nothing. Check the network and run the same command again.",
        )
    error = FlyUnavailableError(
        f"Fly did not answer ({kind}).",
        where=str(call),
        advice="Whether the call was carried out is unknown. Run the same command again: it looks first."
        if call.changes
        else "Run the same command again.",
    )
    error.ambiguous = call.changes
    return error


def _not_read(failure: OversizedError, call: Call) -> FlyAnswerError:
    return FlyAnswerError(
        f"Fly answered with something else than documented ({failure}).",
        where=str(call),
        advice="Whether the call was carried out is unknown. Run the same command again: it looks first."
        if call.changes
        else "Run the same command again; if it stays, report it.",
    )


def _decode(response: httpx.Response, where: str) -> Reply:
    if not response.content:
        return Reply(None, where, response)
    try:
        body = json.loads(response.content, parse_constant=_no_number, parse_float=_finite)
        return Reply(body, where, response)
    except (ValueError, RecursionError):
        raise unreadable(response, where, "not JSON") from None


def _no_number(word: str) -> float:
    raise ValueError(word)  # NaN and Infinity are Python's, not JSON's


def _finite(written: str) -> float:
    """Read a number; one that is too large for us would be written back as no JSON at all."""
    number = float(written)
    return number if isfinite(number) else _no_number(written)
