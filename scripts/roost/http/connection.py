"""A connection to a service over HTTP: its address, its client, and what a request is made of."""

from __future__ import annotations

import functools
import itertools
import re
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from urllib.request import getproxies

import anyio
import httpx

from roost.errors import UsageError
from roost.http.exchange import HEADERS

RESOLVE_LIMIT_S = 5.0
POOLS = 9
"""httpcore looks at each connection of a pool, and for each of them at all others, for every request: nine pools of
four connections cost a fraction of one of 36."""
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=36)
"""As many connections are kept as `roost status` uses at once. By default it is 20, and each of the others would
begin anew for each request."""
_THIS_COMPUTER = re.compile(r"localhost|.+\.localhost|127\.[0-9.]+|::1", re.ASCII)


class Connection:
    """A base for clients of a service: `http` is open inside of `async with`."""

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


class Pools(httpx.AsyncBaseTransport):
    """Several pools of connections, used in turn.

    Args:
        pools: the pools; each opens connections as it needs them.
    """

    def __init__(self, pools: Sequence[httpx.AsyncBaseTransport]) -> None:
        self._pools = pools
        self._turn = itertools.cycle(pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request by the next pool."""
        return await next(self._turn).handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._pools:
            await pool.aclose()


def service_client(
    base_url: str,
    headers: Mapping[str, str],
    timeout_s: float,
    transport: httpx.AsyncBaseTransport | None,
) -> httpx.AsyncClient:
    """Return the client for the API at an address; it follows no redirects.

    Args:
        base_url: the address, without a slash at its end.
        headers: sent with every request.
        timeout_s: the longest wait for a connection, and for each part of an answer.
        transport: for tests; the network by default.
    """
    # A proxy that the environment names cannot reach this computer's own ports.
    trust_env = not is_this_computer(httpx.URL(base_url).host)
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"user-agent": "roost", **HEADERS, **headers},
        timeout=timeout_s,
        limits=LIMITS,
        transport=transport or _pools(base_url, trust_env=trust_env),
        verify=certificates(base_url),
        trust_env=trust_env,
    )


def _pools(base_url: str, *, trust_env: bool) -> Pools | None:
    """Return the pools for an address; None where the environment names a proxy, which the client knows."""
    if trust_env and getproxies():
        return None
    verify = certificates(base_url)
    return Pools([httpx.AsyncHTTPTransport(verify=verify, limits=LIMITS) for _ in range(POOLS)])


def certificates(base_url: str | httpx.URL) -> ssl.SSLContext:
    """Return what certificates are trusted at an address; without TLS, none are read."""
    return _of_the_system() if httpx.URL(base_url).scheme == "https" else _of_nobody()


@functools.cache
def _of_the_system() -> ssl.SSLContext:
    """Return the trusted certificates; read once, because reading takes longer than a call."""
    return httpx.create_ssl_context()


@functools.cache
def _of_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def read_address(text: str, wrong: UsageError) -> httpx.URL:
    """Read the address of a service.

    Raises:
        UsageError: `wrong`, because the text is no http address with a host.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise wrong from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise wrong
    return url


def is_token(value: str) -> bool:
    """Return whether a header can carry a text as a token: one word of printable ASCII."""
    return value.isascii() and value.isprintable() and " " not in value


def path_of(*parts: str) -> str:
    """Return the path of these parts, each of them encoded as one segment."""
    return "".join(f"/{_segment(part)}" for part in parts)


def _segment(part: str) -> str:
    # `.` and `..` would be resolved as steps in the tree.
    return part.replace(".", "%2E") if part in {".", ".."} else quote(part, safe="")


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {key: value for key, value in fields.items() if value is not None}


async def resolves(name: str) -> bool:
    """Return whether a name has an address here, within RESOLVE_LIMIT_S seconds."""
    with anyio.move_on_after(RESOLVE_LIMIT_S):
        try:
            return bool(await anyio.getaddrinfo(name, None))
        except OSError:
            return False
    return False


def is_this_computer(host: str) -> bool:
    """Return whether a host is this computer."""
    return _THIS_COMPUTER.fullmatch(host) is not None
