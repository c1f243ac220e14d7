"""HTTP clients for addresses of the private network, which speak no TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


def open_client(address: str, limit_s: float) -> httpx.AsyncClient:
    """Open a client for one address; the environment's proxies are not used.

    httpx reads all certificates of the system for each client, also for one that needs none: some
    20 ms of CPU. A client for plain HTTP trusts nobody instead, so it cannot be used for HTTPS.

    Args:
        address: what is requested.
        limit_s: how long a request may take, in seconds.
    """
    import httpx

    trusted = address.startswith("https://") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(timeout=limit_s, trust_env=False, verify=trusted)
