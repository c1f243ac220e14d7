"""How a person's Prefect gets to its server: with which certificates, and through which proxy."""

from __future__ import annotations

import ssl
from urllib.request import getproxies, proxy_bypass

import httpx

from roost.doctor.client_facts import Settings
from roost.http.connection import certificates
from roost.prefect.transport import prefect_client


def trusted(settings: Settings) -> ssl.SSLContext:
    """Return what that Prefect trusts, as its client sets it up (prefect/client/orchestration).

    Raises:
        OSError: PREFECT_API_SSL_CERT_FILE cannot be read, or holds no certificates.
    """
    if settings.insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if settings.ssl_cert_file:
        return ssl.create_default_context(cafile=settings.ssl_cert_file)
    return certificates(settings.url)


def proxy_of(url: httpx.URL) -> str:
    """Return the proxy that this computer's settings name for an address; empty for none."""
    if proxy_bypass(url.host):
        return ""
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all", "")
    return found if not found or "://" in found else f"http://{found}"


def open_server(settings: Settings, base_url: str, timeout_s: float) -> httpx.AsyncClient:
    """Return a client that goes the way of that Prefect.

    Args:
        settings: what counts for that Prefect.
        base_url: the server.
        timeout_s: the longest wait for a connection, and for each part of an answer.

    Raises:
        OSError: see `trusted`.
        ValueError: the proxy's address is none.
        ImportError: it is a proxy of SOCKS, which needs a package that Roost has not.
    """
    proxy = proxy_of(httpx.URL(base_url))
    transport = httpx.AsyncHTTPTransport(verify=trusted(settings), proxy=proxy or None)
    return prefect_client(base_url, timeout_s, transport)
