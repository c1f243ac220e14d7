"""Calls to Fly's Machines API: a connection, and how lookups and deletes are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar, Unpack

import httpx

from roost.errors import FlyNotFoundError
from roost.fly.models import Answer
from roost.fly.transport import Call, Details, FlyReply, Transport
from roost.http.connection import Connection
from roost.http.exchange import DEADLINE_S
from roost.http.reply import Json
from roost.secret_text import SecretText

A = TypeVar("A", bound=Answer)


class FlyCalls(Connection):
    """A connection to the Machines API; use as an asynchronous context manager.

    Args:
        base_url: without `/v1`, such as https://api.machines.dev.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call goes on past this many seconds, its repeats included.
        now: the clock that Retry-After dates are read against.

    Raises:
        UsageError: the address or the token cannot be one.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretText,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline_s: float = DEADLINE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._transport = Transport(
            base_url, token, transport=transport, deadline_s=deadline_s, now=now
        )
        super().__init__(self._transport.http)

    @property
    def calls(self) -> int:
        """Requests sent so far, repeats included."""
        return self._transport.calls

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.http.base_url!r})"

    async def _find(self, path: str, kind: type[A]) -> A | None:
        """Return what is at a path, or None when nothing is."""
        try:
            return (await self._send("GET", path)).read(kind)
        except FlyNotFoundError:
            return None

    async def _remove(
        self, path: str, params: Mapping[str, str] | None = None, nonce: str = ""
    ) -> None:
        """Delete a thing; a 404 is fine, as an attempt with a lost answer may have deleted it."""
        self._transport.removed(path)
        try:
            await self._send("DELETE", path, params=params, nonce=nonce)
        except FlyNotFoundError:
            return

    async def _send(
        self, verb: str, path: str, body: Json | None = None, **details: Unpack[Details]
    ) -> FlyReply:
        return await self._transport.send(Call(verb, path, body, **details))
