"""A connection to a service over HTTP: its address, whether a proxy is on the way, opening and closing it."""

from __future__ import annotations

import functools
import re
import ssl
from types import TracebackType
from typing import Self

import anyio
import httpx

from roost.errors import UsageError

RESOLVE_LIMIT_S = 5.0
_THIS_COMPUTER = re.compile(r"localhost|.+\.localhost|127\.[0-9.]+|::1", re.ASCII)


class Connection:
    """What calls a service through `http`, which is open inside of `async with`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def __aenter__(self) -> Self:
        await self.http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.__aexit__(kind, error, trace)


@functools.cache
def certificates() -> ssl.SSLContext:
    """Return whom to trust; read once for all clients, as reading takes longer than a call."""
    return httpx.create_ssl_context()


def read_address(text: str, wrong: UsageError) -> httpx.URL:
    """Read the address of a service.

    Raises:
        UsageError: that one, as the text is no http address with a host.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise wrong from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise wrong
    return url


async def resolves(name: str) -> bool:
    """Return whether a name has an address here, within a few seconds."""
    with anyio.move_on_after(RESOLVE_LIMIT_S):
        try:
            return bool(await anyio.getaddrinfo(name, None))
        except OSError:
            return False
    return False


def is_this_computer(host: str) -> bool:
    """Return whether a host is this computer, to which no proxy is the way."""
    return _THIS_COMPUTER.fullmatch(host) is not None
