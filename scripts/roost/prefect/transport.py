"""An HTTP client for a Prefect server, on the internet or on this computer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Protocol

import httpx

from roost.errors import UsageError
from roost.http.connection import certificates, read_address
from roost.http.exchange import HEADERS, bounded
from roost.secret_text import SecretText

LOOPBACK = "127.0.0.1"


class LoopbackNames(httpx.AsyncBaseTransport):
    """Connect `*.localhost` to this computer, as RFC 6761 asks and not every resolver does.

    The size of answers is limited: a smoke test may be pointed at any address.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; the Host header keeps the name."""
        return bounded(await self._inner.handle_async_request(_to_loopback(request)))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _to_loopback(request: httpx.Request) -> httpx.Request:
    """Return the request with the loopback address; the caller's own is not changed."""
    host = request.url.host
    if not host.endswith(".localhost"):
        return request
    return httpx.Request(
        request.method,
        request.url.copy_with(host=LOOPBACK),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


class OpenServer(Protocol):
    """Opens a client for one server: `prefect_client`, or what a test passes in its place."""

    def __call__(
        self, base_url: str, timeout_s: float, *, headers: Mapping[str, str] | None = None
    ) -> httpx.AsyncClient:
        """Return the client; see `prefect_client`."""


def prefect_client(
    base_url: str,
    timeout_s: float,
    transport: httpx.AsyncBaseTransport | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.AsyncClient:
    """Return a client for one server; a PREFECT_API_URL, which ends in `/api`, is accepted too.

    Raises:
        UsageError: it is no http address.
    """
    url = _check_address(base_url)
    return httpx.AsyncClient(
        base_url=url,
        timeout=timeout_s,
        transport=LoopbackNames(transport or httpx.AsyncHTTPTransport(verify=certificates(url))),
        headers={"user-agent": "roost", **HEADERS, **(headers or {})},
    )


def _check_address(base_url: str) -> httpx.URL:
    wrong = UsageError(
        f"{base_url!r} is not the address of a server.",
        advice="Give one like https://acme-prefect.fly.dev",
    )
    url = read_address(base_url, wrong)
    return url.copy_with(path=url.path.rstrip("/").removesuffix("/api") or "/")


def basic(auth: SecretText) -> dict[str, str]:
    """Return the header that logs in with `user:password`."""
    return {"authorization": f"Basic {b64encode(auth.reveal().encode()).decode()}"}
