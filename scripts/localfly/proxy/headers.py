"""Filter and add headers, as pure functions over h11's header lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localfly.proxy.services import Service

Headers = list[tuple[bytes, bytes]]

# Headers for one connection only (RFC 9110 7.6.1).
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Headers that only the proxy sets; a client's are dropped. `fly-replay-src` is Fly's, too.
_OURS = frozenset(
    {
        b"fly-client-ip",
        b"fly-forwarded-port",
        b"fly-forwarded-proto",
        b"fly-forwarded-ssl",
        b"fly-region",
        b"fly-request-id",
        b"fly-replay-src",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-ssl",
    }
)
_FLY_ANSWER = frozenset({b"server", b"via", b"fly-request-id"})


@dataclass(frozen=True)
class Origin:
    """Where a request comes from, and which app it is for."""

    app: str
    client_ip: str
    port: int
    region: str
    request_id: str


def find(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the first value of a header; `name` is in lower case."""
    return next((value for key, value in headers if key.lower() == name), None)


def tokens(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> set[bytes]:
    """Return the comma-separated words of a header in lower case."""
    values = (value for key, value in headers if key.lower() == name)
    return {word.strip().lower() for value in values for word in value.split(b",") if word.strip()}


def has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request announces a body (RFC 9112 6.3)."""
    return any(key in (b"content-length", b"transfer-encoding") for key, _ in headers)


def is_upgrade(headers: Headers) -> bool:
    """Return whether a client asks for another protocol, such as WebSocket."""
    return b"upgrade" in tokens(headers, b"connection") and find(headers, b"upgrade") is not None


def to_machine(headers: Headers, origin: Origin) -> Headers:
    """Return the request headers for a machine.

    The app's local port stands for Fly's 443 without TLS, so the forwarded scheme is the one that
    the browser used: http. Redirects that a server builds from it lead back here.
    """
    forwarded = find(headers, b"x-forwarded-for")
    client = origin.client_ip.encode()
    port = str(origin.port).encode()
    passed = [(k, v) for k, v in _passing(headers) if k not in _OURS and k != b"x-forwarded-for"]
    if find(passed, b"host") is None:
        passed.insert(0, (b"host", f"{origin.app}.localhost:{origin.port}".encode()))
    return [
        *_framed(passed, headers),
        *_upgrade(headers),
        (b"fly-client-ip", client),
        (b"fly-forwarded-port", port),
        (b"fly-region", origin.region.encode()),
        (b"fly-request-id", origin.request_id.encode()),
        (b"x-forwarded-for", client if forwarded is None else forwarded + b", " + client),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-port", port),
        (b"x-forwarded-ssl", b"off"),
        (b"via", b"1.1 fly.io"),
    ]


def to_client(headers: Headers, origin: Origin, service: Service, *, switching: bool) -> Headers:
    """Return the response headers: the machine's, Fly's, and those that the service sets."""
    passed = _framed(list(_passing(headers)), headers)
    if switching:
        passed += _upgrade(headers)
    if not service.pristine:
        passed = [(k, v) for k, v in passed if k not in _FLY_ANSWER] + own_answer(origin)
    replaced = {name.lower().encode() for name in service.response_headers}
    return [(k, v) for k, v in passed if k not in replaced] + _configured(service)


def own_answer(origin: Origin) -> Headers:
    """Return the headers of every response of the proxy."""
    return [
        (b"server", b"Fly/local"),
        (b"via", b"1.1 fly.io"),
        (b"fly-request-id", origin.request_id.encode()),
    ]


def _passing(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    """Return the headers without those for one connection and those that `connection` names."""
    dropped = _HOP_BY_HOP | tokens(headers, b"connection")
    return ((key.lower(), value) for key, value in headers if key.lower() not in dropped)


def _framed(passed: Headers, original: Headers) -> Headers:
    """Keep a chunked body chunked, without a length: both together allow request smuggling."""
    if b"chunked" not in tokens(original, b"transfer-encoding"):
        return passed
    return [(k, v) for k, v in passed if k != b"content-length"] + [
        (b"transfer-encoding", b"chunked")
    ]


def _upgrade(headers: Headers) -> Headers:
    protocol = find(headers, b"upgrade") if is_upgrade(headers) else None
    return [(b"connection", b"upgrade"), (b"upgrade", protocol)] if protocol else []


def _configured(service: Service) -> Headers:
    """Return the headers that a service sets; false removes one, a list repeats it."""
    found: Headers = []
    for name, value in service.response_headers.items():
        values = value if isinstance(value, list) else [value]
        found += [
            (name.lower().encode(), str(one).encode()) for one in values if one not in (False, None)
        ]
    return found
