"""Send calls to GitHub: its limits, the pages of lists, and queries of GraphQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from roost.errors import (
    GitHubAnswerError,
    GitHubRateLimitedError,
    GitHubUnavailableError,
    UsageError,
)
from roost.github.refusals import is_limit, limit_wait_s, query_refusal, refusal, unreadable
from roost.http import transport as shared
from roost.http.connection import is_token, read_address, service_client
from roost.http.exchange import DEADLINE_S, TIMEOUT_S
from roost.http.reply import Reply, T
from roost.http.retry import AgainError, Repeat, may_repeat_status
from roost.secret_text import SecretText

MAX_WAIT_S = 60.0
"""A limit that lasts longer is reported, not waited for."""
PER_PAGE = 100
MAX_PAGES = 100
"""A list that goes on for longer is taken for one without an end."""
VERSION = "2022-11-28"


@dataclass(frozen=True)
class Call(shared.Call):
    """One request to GitHub."""

    is_query: bool = False
    """Whether it is a query of GraphQL, which is sent by POST and changes nothing."""

    @property
    def changes(self) -> bool:
        """Whether the call changes anything on GitHub."""
        return super().changes and not self.is_query

    @property
    def rule(self) -> Repeat:
        """When the call may be sent again."""
        return Repeat.SAFE if self.is_query else super().rule


class GitHubReply(Reply):
    """An answer of GitHub's."""

    def part(self, key: str) -> GitHubReply:
        """Return the content of an envelope.

        Raises:
            GitHubAnswerError: the body is no envelope.
        """
        if not isinstance(self.body, dict) or key not in self.body:
            raise self.wrong(f"no `{key}` in it")
        return replace(self, body=self.body[key])

    def read_all(self, kind: type[T]) -> tuple[T, ...]:
        """Return the body as a list of a type.

        Raises:
            GitHubAnswerError: it is no list; an empty one would mean that nothing exists.
        """
        if not isinstance(self.body, list):
            raise self.wrong("no list")
        return self.read(tuple[kind, ...])  # type: ignore[valid-type]  # a type known at run time


def bearer(token: SecretText) -> str:
    """Return the header's value.

    Raises:
        UsageError: the text cannot be a token.
    """
    value = token.reveal().strip()
    if not value or not is_token(value):
        raise UsageError(
            "The GitHub token is empty or holds a character that no token has.",
            where="GITHUB_TOKEN",
            advice="Copy it again, whole and in one line.",
        )
    return f"Bearer {value}"


def check_address(base_url: str) -> httpx.URL:
    """Read the API's address.

    Raises:
        UsageError: it is no http address.
    """
    wrong = UsageError(
        "The address of GitHub's API is not an http address.",
        where="GITHUB_API_URL",
        advice="Unset it, or give one like https://api.github.com",
    )
    return read_address(base_url, wrong)


class Transport(shared.ServiceTransport[Call, GitHubReply]):
    """A connection to the API that counts the requests it sends.

    Args:
        base_url: such as https://api.github.com.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call goes on past this many seconds, its repeats included.
        now: the clock that the ends of limits are read against.
        clock: seconds, for the deadline.

    Raises:
        UsageError: the address or the token cannot be one.
    """

    service = shared.Service("GitHub", GitHubUnavailableError, GitHubAnswerError, unreadable)

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
        address = str(check_address(base_url)).rstrip("/")
        headers = {
            "authorization": bearer(token),
            "accept": "application/vnd.github+json",
            "x-github-api-version": VERSION,
        }
        http = service_client(address, headers, TIMEOUT_S, transport)
        super().__init__(http, deadline_s=deadline_s, now=now, clock=clock)
        self._hidden = (SecretText(token.reveal().strip()),)

    async def pages(self, path: str, params: Mapping[str, str] | None = None) -> list[GitHubReply]:
        """Return all pages of a list, following the links that GitHub gives.

        Raises:
            GitHubAnswerError: the list has no end, or the link leads to another host.
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

    def _reply(self, call: Call, response: httpx.Response, body: Any) -> GitHubReply:
        reply = GitHubReply(body, str(call), response, unreadable)
        if call.is_query:
            self._check_query(reply)
        return reply

    def _check_query(self, reply: Reply) -> None:
        """Raise what refused a query: GraphQL answers with a success that contains the errors."""
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
    """Read the Link header; httpx raises on some malformed ones."""
    try:
        return response.links  # type: ignore[return-value]  # keys are texts where there is a rel
    except (ValueError, IndexError):
        return {}


def each(pages: list[GitHubReply], kind: type[T], key: str = "") -> Iterator[T]:
    """Return the entries of all pages, in order; under a key where each page is an envelope."""
    for page in pages:
        yield from (page.part(key) if key else page).read_all(kind)
