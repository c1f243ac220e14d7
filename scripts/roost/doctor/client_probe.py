"""Try the way from this computer to a server's API, step by step: name, port, TLS, answer."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import anyio
import httpx

from roost.doctor.client_facts import Reached, Settings, Step
from roost.doctor.client_way import open_server, proxy_of, trusted
from roost.doctor.server_reading import settled_clock

CONNECT_S = 10.0
ANSWER_S = 60.0
"""A stopped server takes seconds to start, and Fly's proxy holds the request meanwhile."""
NO_ROUTES = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})
LOOPBACK = "127.0.0.1"


def read_url(text: str) -> httpx.URL | None:
    """Read an address; None if it is no http address with a host."""
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL:
        return None
    return url if url.scheme in {"http", "https"} and url.host else None


async def reach(settings: Settings, now: Callable[[], datetime]) -> Reached:
    """Return how far a request to a PREFECT_API_URL gets, and what came back.

    The port is tried first by itself, because the failures of an HTTP client do not tell a name that is
    not known from a port that is closed. Behind a proxy neither is this computer's to reach.

    Args:
        settings: the address, the certificates to trust.
        now: the clock of this computer.
    """
    url = read_url(settings.url)
    if url is None:
        return Reached(Step.NO_ADDRESS)
    try:
        trust = trusted(settings)
    except OSError as failure:
        return Reached(Step.NO_CERTIFICATES, f"{settings.ssl_cert_file}: {_words(failure)}")
    proxy = proxy_of(url)
    closed = None if proxy else await _connect(url, trust)
    if closed is not None:
        return closed
    return await _ask(settings, url, proxy, now)


async def _ask(
    settings: Settings, url: httpx.URL, proxy: str, now: Callable[[], datetime]
) -> Reached:
    base = str(url.copy_with(path="/", query=None, fragment=None))
    try:
        http = open_server(settings, base, ANSWER_S)
    except (ImportError, ValueError):
        return Reached(Step.PROXY, "Roost cannot use a proxy of this kind")
    async with http:
        try:
            return await _asked(http, url.path.rstrip("/"), now)
        except (httpx.ReadTimeout, httpx.ConnectTimeout) as failure:
            return Reached(Step.TIMEOUT, type(failure).__name__)
        except httpx.HTTPError as failure:
            return _failed(failure, proxy)


async def _asked(http: httpx.AsyncClient, path: str, now: Callable[[], datetime]) -> Reached:
    health = await http.get(f"{path}/health")
    at = now()  # /ready waits for a database, and the answer of /health has the time of before
    reached = _answered(health)
    if not reached.is_prefect:
        return reached
    ready = await http.get(f"{path}/ready")
    clock_s = await settled_clock(http, health, at, now)
    return replace(reached, ready=ready.status_code, clock_s=clock_s)


def _failed(failure: httpx.HTTPError, proxy: str) -> Reached:
    """Return what a request without an answer means."""
    if not proxy or not isinstance(failure, httpx.ProxyError | httpx.ConnectError):
        return Reached(Step.BROKEN, type(failure).__name__)
    found = _first(failure)
    if isinstance(found, ssl.SSLError):
        return Reached(Step.TLS, _tls_words(found))
    return Reached(Step.PROXY, f"{httpx.URL(proxy).host}: {_words(found)}")


def _answered(answer: httpx.Response) -> Reached:
    """Return what an answer to `/health` says of who sent it; Prefect answers `true`."""
    is_prefect = answer.status_code == httpx.codes.OK and answer.text.strip() == "true"
    return Reached(
        Step.ANSWERED,
        status=answer.status_code,
        is_prefect=is_prefect,
        location=answer.headers.get("location", ""),
        server=answer.headers.get("server", ""),
    )


async def _connect(url: httpx.URL, trust: ssl.SSLContext) -> Reached | None:
    """Return why no connection could be made; None if one could."""
    host = LOOPBACK if url.host.endswith(".localhost") else url.host
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        with anyio.fail_after(CONNECT_S):
            await anyio.getaddrinfo(host, port)
    except (OSError, TimeoutError, UnicodeError) as failure:
        return Reached(Step.NO_NAME, _words(failure))
    try:
        with anyio.fail_after(CONNECT_S):
            stream = await _open(host, port, url, trust)
            await stream.aclose()
    except TimeoutError:
        return Reached(Step.TIMEOUT, f"no answer within {CONNECT_S:.0f} s")
    except (anyio.BrokenResourceError, anyio.EndOfStream, OSError) as failure:
        return _unreached(failure)
    return None


async def _open(
    host: str, port: int, url: httpx.URL, trust: ssl.SSLContext
) -> anyio.abc.ByteStream:
    if url.scheme == "http":
        return await anyio.connect_tcp(host, port)
    return await anyio.connect_tcp(
        host,
        port,
        tls=True,
        ssl_context=trust,
        tls_hostname=url.host,
        tls_standard_compatible=False,
    )


def _unreached(failure: Exception) -> Reached:
    """Return what a failed connection means, by the first of its causes."""
    found = _first(failure)
    if isinstance(found, ssl.SSLError):
        return Reached(Step.TLS, _tls_words(found))
    return Reached(_step_of(found), _words(found))


def _step_of(failure: BaseException) -> Step:
    if isinstance(failure, ConnectionRefusedError):
        return Step.REFUSED
    if isinstance(failure, TimeoutError):
        return Step.TIMEOUT
    no_route = isinstance(failure, OSError) and failure.errno in NO_ROUTES
    return Step.NO_ROUTE if no_route else Step.BROKEN


def _first(failure: BaseException) -> BaseException:
    """Return the cause of all: anyio groups the failures of several addresses."""
    if isinstance(failure, BaseExceptionGroup):
        return _first(failure.exceptions[0])
    return _first(failure.__cause__) if failure.__cause__ else failure


def _words(failure: BaseException) -> str:
    text = failure.strerror if isinstance(failure, OSError) else str(failure)
    return text or type(failure).__name__


def _tls_words(failure: ssl.SSLError) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return failure.verify_message
    return (failure.reason or str(failure)).replace("_", " ").lower()
