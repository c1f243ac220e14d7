"""Calls about one repository: paths, pages, and answers that only some tokens get."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TypeVar

import httpx
from pydantic import BaseModel

from roost.errors import (
    GitHubConflictError,
    GitHubForbiddenError,
    GitHubNotFoundError,
    GitHubUnavailableError,
    UsageError,
)
from roost.github.transport import Call, GitHubReply, Transport, each
from roost.http.connection import Connection, path_of
from roost.http.exchange import DEADLINE_S
from roost.http.reply import Json
from roost.secret_text import SecretText

M = TypeVar("M", bound=BaseModel)
State = Literal["open", "closed", "all"]
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


class RepositoryCalls(Connection):
    """A connection to one repository; use as an asynchronous context manager.

    Args:
        base_url: such as https://api.github.com.
        repository: `owner/name`.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call goes on past this many seconds, its repeats included.
        now: the clock that the ends of limits are read against.

    Raises:
        UsageError: the address, the repository or the token cannot be one.
    """

    def __init__(  # noqa: PLR0913 - what is outside of it is passed in
        self,
        base_url: str,
        repository: str,
        token: SecretText,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline_s: float = DEADLINE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        owner, _, name = repository.partition("/")
        if not _REPOSITORY.fullmatch(repository) or {owner, name} & {".", ".."}:
            raise UsageError(
                "This names no repository of GitHub.",
                where="GITHUB_REPOSITORY",
                advice="Give it as OWNER/NAME, such as acme/infra.",
            )
        self.repository = repository
        self._root = f"/repos/{owner}/{name}"
        # https://api.github.com/graphql, and https://HOST/api/graphql beside https://HOST/api/v3.
        self._graphql = f"{base_url.rstrip('/').removesuffix('/v3')}/graphql"
        self._transport = Transport(
            base_url, token, transport=transport, deadline_s=deadline_s, now=now
        )
        super().__init__(self._transport.http)

    @property
    def calls(self) -> int:
        """Requests sent so far, repeats included."""
        return self._transport.calls

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.http.base_url!r}, {self.repository!r})"

    async def _send(
        self,
        verb: str,
        *parts: str,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
    ) -> GitHubReply:
        path = f"{self._root}{path_of(*parts)}"
        return await self._transport.send(Call(verb, path, body, params))

    async def _query(self, query: str, variables: Json) -> GitHubReply:
        body = {"query": query, "variables": variables}
        call = Call("POST", self._graphql, body, is_query=True)
        return (await self._transport.send(call)).part("data")

    async def _get(self, path: str, params: Mapping[str, str]) -> GitHubReply:
        return await self._transport.send(Call("GET", path, params=params))

    async def _list(
        self, kind: type[M], *parts: str, params: Mapping[str, str] | None = None, key: str = ""
    ) -> tuple[M, ...]:
        path = f"{self._root}{path_of(*parts)}"
        given = {name: value for name, value in (params or {}).items() if value}
        return tuple(each(await self._transport.pages(path, given), kind, key))

    async def _readable(self, kind: type[M], *parts: str) -> M | None:
        """Return what only some tokens may see; None where GitHub answers 403 or 404."""
        try:
            return (await self._send("GET", *parts)).read(kind)
        except (GitHubForbiddenError, GitHubNotFoundError):
            return None


def may_be_there(error: GitHubConflictError | GitHubUnavailableError) -> bool:
    """Return whether a failed create may exist: its name is taken, or its answer was lost."""
    return isinstance(error, GitHubConflictError) or error.ambiguous
