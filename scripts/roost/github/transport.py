"""Send one call to GitHub: again where that is safe, every failure as one of our errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any, TypeVar

import anyio
import httpx
from pydantic import TypeAdapter, ValidationError

from roost.errors import (
    GitHubAnswerError,
    GitHubRateLimitedError,
    GitHubUnavailableError,
    UsageError,
)
from roost.github.refusals import (
    is_limit,
    limit_wait_s,
    one_line,
    query_refusal,
    refusal,
    unreadable,
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
MAX_WAIT_S = 60.0
"""A limit that lasts longer is told, not waited for."""
ATTEMPTS = 6
PER_PAGE = 100
MAX_PAGES = 100
"""More comments or issues than these are a list without an end."""
VERSION = "2022-11-28"
_TRANSIENT = frozenset({500, 502, 503, 504})
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True)
class Call:
    """One request."""

    verb: str
    path: str
    body: Json | None = None
    params: Mapping[str, str] | None = None
    is_query: bool = False
    """Whether it is a query of GraphQL, which goes by POST and changes nothing."""

    @property
    def changes(self) -> bool:
        """Say whether it changes anything on GitHub."""
        return self.verb != "GET" and not self.is_query

    @property
    def is_safe(self) -> bool:
        """Say whether twice is the same as once: only POST makes something new each time."""
        return self.verb != "POST" or self.is_query

    def __str__(self) -> str:
        return one_line(f"{self.verb} {self.path.partition('?')[0]}")


@dataclass(frozen=True)
class Reply:
    """A success: its decoded body, and what an error about it must name."""

    body: Any
    where: str
    response: httpx.Response

    def part(self, key: str) -> Reply:
        """Give what an envelope holds.

        Raises:
            GitHubAnswerError: it is no envelope.
        """
        if not isinstance(self.body, dict) or key not in self.body:
            raise self.wrong(f"no `{key}` in it")
        return replace(self, body=self.body[key])

    def read(self, kind: type[T]) -> T:
        """Give the body as a type.

        Raises:
            GitHubAnswerError: it is not what GitHub documents.
        """
        try:
            return TypeAdapter(kind).validate_python(self.body)
        except (ValidationError, RecursionError) as error:
            if not isinstance(error, ValidationError):
                raise self.wrong("nested too deeply") from None
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the body"
            raise self.wrong(one_line(f"{place}: {first['msg']}")) from None

    def read_all(self, kind: type[T]) -> tuple[T, ...]:
        """Give the body as a list of a type."""
        if not isinstance(self.body, list):
            raise self.wrong("no list")  # as an empty list it would say: none there
        return self.read(tuple[kind, ...])  # type: ignore[valid-type]  # a type known at run time

    def wrong(self, reason: str) -> GitHubAnswerError:
        """Give the error that says what is wrong with this answer."""
        return unreadable(self.response, self.where, reason)


def bearer(token: SecretText) -> str:
    """Give the header's value.

    Raises:
        UsageError: no token looks like that, and no header can carry it.
    """
    value = token.reveal().strip()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(
            "The GitHub token is empty or holds a character that no token has.",
            where="GITHUB_TOKEN",
            advice="Copy it again, whole and in one line.",
        )
    return f"Bearer {value}"


def check_address(base_url: str) -> httpx.URL:
    """Read the API's address.

    Raises:
        UsageError: it is not one.
    """
    wrong = UsageError(
        "The address of GitHub's API is not an http address.",
        where="GITHUB_API_URL",
        advice="Unset it, or give one like https://api.github.com",
    )
    return read_address(base_url, wrong)


class Transport:
    """A connection to the API that counts what it sends.

    Args:
        base_url: such as https://api.github.com.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call is repeated past this many seconds.
        now: the clock that the ends of limits are read against.
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
        self._hidden = (SecretText(token.reveal().strip()),)
        self._deadline_s = deadline_s
        self._now = now
        self._clock = clock
        self.http = httpx.AsyncClient(
            base_url=str(url).rstrip("/"),
            headers={
                "authorization": bearer(token),
                "accept": "application/vnd.github+json",
                "x-github-api-version": VERSION,
                "user-agent": "roost",
                **HEADERS,
            },
            timeout=TIMEOUT_S,
            transport=transport,
            follow_redirects=False,
            trust_env=not is_this_computer(url.host),  # a proxy is not the way to this machine
        )

    def __repr__(self) -> str:
        return f"Transport({self.http.base_url!r})"

    async def send(self, call: Call) -> Reply:
        """Send a call, again where that is safe, and give the answer.

        Raises:
            GitHubError: GitHub refused, failed, or did not answer.
        """
        ends = self._clock() + self._deadline_s
        return await repeated(lambda: self._send_once(call), ATTEMPTS, ends, self._clock)

    async def pages(self, path: str, params: Mapping[str, str] | None = None) -> list[Reply]:
        """Give all pages of a list, following the links that GitHub gives.

        Raises:
            GitHubAnswerError: the list has no end, or its next page is said to be elsewhere.
        """
        call = Call("GET", path, params={"per_page": str(PER_PAGE), **(params or {})})
        found: list[Reply] = []
        while True:
            reply = await self.send(call)
            found.append(reply)
            following = self._next(reply)
            if following is None:
                return found
            if len(found) >= MAX_PAGES:
                raise reply.wrong(f"a list longer than {MAX_PAGES} pages")
            call = Call("GET", following)

    def _next(self, reply: Reply) -> str | None:
        """Give the address of the next page: the token goes to no other host."""
        link = _links(reply.response).get("next", {}).get("url")
        if link is None:
            return None
        try:
            here = self.http.base_url
            url = here.join(link)
        except httpx.InvalidURL:
            raise reply.wrong("its next page is no address") from None
        if (url.scheme, url.host, url.port) != (here.scheme, here.host, here.port):
            raise reply.wrong("its next page is on another host")
        return str(url)

    async def _send_once(self, call: Call) -> Reply:
        self.calls += 1
        try:
            response = await self._exchange(call)
        except OversizedError as failure:
            raise _not_read(failure, call) from None
        except httpx.RequestError as failure:
            lost = _no_answer(failure, call)
            raise (AgainError(lost) if _may_repeat(failure, call) else lost) from None
        if not response.is_success:
            raise self._refused(call, response)
        reply = _decode(response, str(call))
        if call.is_query:
            self._check_query(reply)
        return reply

    async def _exchange(self, call: Call) -> httpx.Response:
        """Send a call once and read the whole answer, within its limits of time and size."""
        request = self._request(call)
        try:
            with anyio.fail_after(min(ANSWER_S, self._deadline_s)):
                response = await self.http.send(request, stream=True)
                try:
                    await bounded(response).aread()
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx.ReadTimeout("the answer did not end") from None
        return response

    def _request(self, call: Call) -> httpx.Request:
        return self.http.build_request(
            call.verb,
            call.path,
            # In ASCII: what is no Unicode, as file names may be, is escaped and not our failure.
            content=None if call.body is None else json.dumps(call.body),
            params=call.params,
            headers={} if call.body is None else {"content-type": "application/json"},
        )

    def _check_query(self, reply: Reply) -> None:
        """See that a query was answered: GraphQL refuses with a success, and the reasons in it."""
        error = query_refusal(reply.response, reply.body, reply.where, self._hidden, self._now)
        if isinstance(error, GitHubRateLimitedError):
            wait_s = limit_wait_s(reply.response, self._now)
            raise AgainError(error, wait_s) if wait_s <= MAX_WAIT_S else error
        if isinstance(error, GitHubUnavailableError):
            raise AgainError(error)
        if error is not None:
            raise error

    def _refused(self, call: Call, response: httpx.Response) -> Exception:
        error = refusal(response, str(call), self._hidden, self._now)
        if isinstance(error, GitHubUnavailableError):
            error.ambiguous = call.changes
        if is_limit(response):
            wait_s = limit_wait_s(response, self._now)
            return AgainError(error, wait_s) if wait_s <= MAX_WAIT_S else error
        if call.is_safe and response.status_code in _TRANSIENT:
            return AgainError(error)
        return error


def _links(response: httpx.Response) -> Mapping[str, Mapping[str, str]]:
    """Read the Link header; httpx trips over some that are none."""
    try:
        return response.links  # type: ignore[return-value]  # keys are texts where there is a rel
    except (ValueError, IndexError):
        return {}


def _may_repeat(failure: httpx.RequestError, call: Call) -> bool:
    """Say whether a call without an answer may be sent again.

    What our own side refuses to send (LocalProtocolError, UnsupportedProtocol) stays refused.
    """
    if isinstance(failure, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return False
    return call.is_safe or isinstance(failure, _NEVER_SENT)


def _no_answer(failure: httpx.RequestError, call: Call) -> GitHubUnavailableError:
    kind = type(failure).__name__
    if isinstance(failure, _NEVER_SENT):
        return GitHubUnavailableError(
            f"GitHub could not be reached ({kind}).",
            where=str(call),
            advice="This call changed nothing. Check the network and run the same command again.",
        )
    error = GitHubUnavailableError(
        f"GitHub did not answer ({kind}).", where=str(call), advice=_unsure(call)
    )
    error.ambiguous = call.changes
    return error


def _not_read(failure: OversizedError, call: Call) -> GitHubAnswerError:
    return GitHubAnswerError(
        f"GitHub answered with something else than documented ({failure}).",
        where=str(call),
        advice=_unsure(call),
    )


def _unsure(call: Call) -> str:
    if not call.changes:
        return "Run the same command again; if it stays, report it."
    return (
        "Whether the call was carried out is unknown. Run the same command again: it looks first."
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


def each(pages: list[Reply], kind: type[T], key: str = "") -> Iterator[T]:
    """Give what stands on all pages, in order; under a key where each page is an envelope."""
    for page in pages:
        yield from (page.part(key) if key else page).read_all(kind)
