"""Send one call to GitHub: again where that is safe, every failure as one of our errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import httpx

from roost.errors import (
    GitHubAnswerError,
    GitHubRateLimitedError,
    GitHubUnavailableError,
    UsageError,
)
from roost.github.refusals import is_limit, limit_wait_s, query_refusal, refusal, unreadable
from roost.http.connection import certificates, is_this_computer, read_address
from roost.http.exchange import ANSWER_S, ATTEMPTS, DEADLINE_S, TIMEOUT_S, exchange
from roost.http.lost_answers import lost_answer
from roost.http.messages import one_line
from roost.http.reply import Json, Reply, T, decode
from roost.http.retry import AgainError, repeated
from roost.http.retry_rules import Repeat, may_repeat_failure, may_repeat_status
from roost.http.size_limits import HEADERS, OversizedError
from roost.secret_text import SecretText

MAX_WAIT_S = 60.0
"""A limit that lasts longer is told, not waited for."""
PER_PAGE = 100
MAX_PAGES = 100
"""More comments or issues than these are a list without an end."""
VERSION = "2022-11-28"


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
        """Return whether it changes anything on GitHub."""
        return self.verb != "GET" and not self.is_query

    @property
    def rule(self) -> Repeat:
        """When it may be sent again; a query changes nothing, although it goes by POST."""
        return Repeat.SAFE if self.is_query else Repeat.by_verb(self.verb)

    def __str__(self) -> str:
        return one_line(f"{self.verb} {self.path.partition('?')[0]}")


class GitHubReply(Reply):
    """An answer of GitHub's."""

    def part(self, key: str) -> GitHubReply:
        """Return what an envelope holds.

        Raises:
            GitHubAnswerError: it is no envelope.
        """
        if not isinstance(self.body, dict) or key not in self.body:
            raise self.wrong(f"no `{key}` in it")
        return replace(self, body=self.body[key])

    def read_all(self, kind: type[T]) -> tuple[T, ...]:
        """Return the body as a list of a type.

        Raises:
            GitHubAnswerError: it is no list: read as an empty one it would say "none there".
        """
        if not isinstance(self.body, list):
            raise self.wrong("no list")
        return self.read(tuple[kind, ...])  # type: ignore[valid-type]  # a type known at run time


def bearer(token: SecretText) -> str:
    """Return the header's value.

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
            verify=certificates(),
            follow_redirects=False,
            trust_env=not is_this_computer(url.host),  # a proxy is not the way to this machine
        )

    def __repr__(self) -> str:
        return f"Transport({self.http.base_url!r})"

    async def send(self, call: Call) -> GitHubReply:
        """Send a call, again where that is safe, and return the answer.

        Raises:
            GitHubError: GitHub refused, failed, or did not answer.
        """
        ends = self._clock() + self._deadline_s
        return await repeated(lambda: self._send_once(call), ATTEMPTS, ends, self._clock)

    async def pages(self, path: str, params: Mapping[str, str] | None = None) -> list[GitHubReply]:
        """Return all pages of a list, following the links that GitHub gives.

        Raises:
            GitHubAnswerError: the list has no end, or its next page is said to be elsewhere.
        """
        call = Call("GET", path, params={"per_page": str(PER_PAGE), **(params or {})})
        found: list[GitHubReply] = []
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
        """Return the address of the next page: the token goes to no other host."""
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

    async def _send_once(self, call: Call) -> GitHubReply:
        self.calls += 1
        try:
            response = await exchange(
                self.http, self._request(call), min(ANSWER_S, self._deadline_s)
            )
        except OversizedError as failure:
            raise _not_read(failure, call) from None
        except httpx.RequestError as failure:
            lost = _no_answer(failure, call)
            raise (AgainError(lost) if may_repeat_failure(failure, call.rule) else lost) from None
        if not response.is_success:
            raise self._refused(call, response)
        body = decode(response, str(call), unreadable)
        reply = GitHubReply(body, str(call), response, unreadable)
        if call.is_query:
            self._check_query(reply)
        return reply

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
        if may_repeat_status(response.status_code, call.rule):
            return AgainError(error)
        return error


def _links(response: httpx.Response) -> Mapping[str, Mapping[str, str]]:
    """Read the Link header; httpx trips over some that are none."""
    try:
        return response.links  # type: ignore[return-value]  # keys are texts where there is a rel
    except (ValueError, IndexError):
        return {}


def _no_answer(failure: httpx.RequestError, call: Call) -> GitHubUnavailableError:
    lost = lost_answer(failure, "GitHub", changes=call.changes)
    error = GitHubUnavailableError(lost.what, where=str(call), advice=lost.advice)
    error.ambiguous = lost.ambiguous
    return error


def _not_read(failure: OversizedError, call: Call) -> GitHubAnswerError:
    lost = lost_answer(failure, "GitHub", changes=call.changes)
    return GitHubAnswerError(lost.what, where=str(call), advice=lost.advice)


def each(pages: list[GitHubReply], kind: type[T], key: str = "") -> Iterator[T]:
    """Return what stands on all pages, in order; under a key where each page is an envelope."""
    for page in pages:
        yield from (page.part(key) if key else page).read_all(kind)
