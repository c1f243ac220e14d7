"""Which headers pass the proxy, and which it adds, as pure functions over h11's header lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localfly.proxy.services import Service

Headers = list[tuple[bytes, bytes]]

# RFC 9110 7.6.1: meant for one connection only.
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
# Told by the proxy alone: a client cannot claim them. `fly-replay-src` is Fly's too.
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
    """What the proxy knows of where a request comes from and where it goes."""

    app: str
    client_ip: str
    port: int
    region: str
    request_id: str


def find(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Find the first value of a header; names are lower case here."""
    return next((value for key, value in headers if key.lower() == name), None)


def tokens(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> set[bytes]:
    """Collect the comma-separated words of a header, in lower case."""
    values = (value for key, value in headers if key.lower() == name)
    return {word.strip().lower() for value in values for word in value.split(b",") if word.strip()}


def has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Report whether a request announces a body (RFC 9112 6.3)."""
    return any(key in (b"content-length", b"transfer-encoding") for key, _ in headers)


def is_upgrade(headers: Headers) -> bool:
    """Report whether a client asks for another protocol, as a WebSocket does."""
    return b"upgrade" in tokens(headers, b"connection") and find(headers, b"upgrade") is not None


def to_machine(headers: Headers, origin: Origin) -> Headers:
    """Make the headers a machine gets.

    The app's one local port stands for Fly's 443 with the TLS left out, so the scheme told is the
    one the browser used: http. Redirects a server builds from it then lead back here.
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
    """Make the headers of an answer: the machine's, then Fly's, then what the service sets."""
    passed = _framed(list(_passing(headers)), headers)
    if switching:
        passed += _upgrade(headers)
    if not service.pristine:
        passed = [(k, v) for k, v in passed if k not in _FLY_ANSWER] + own_answer(origin)
    replaced = {name.lower().encode() for name in service.response_headers}
    return [(k, v) for k, v in passed if k not in replaced] + _configured(service)


def own_answer(origin: Origin) -> Headers:
    """Make what every answer through Fly carries."""
    return [
        (b"server", b"Fly/local"),
        (b"via", b"1.1 fly.io"),
        (b"fly-request-id", origin.request_id.encode()),
    ]


def _passing(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    """Drop what is meant for one connection, and what that connection's own header names."""
    dropped = _HOP_BY_HOP | tokens(headers, b"connection")
    return ((key.lower(), value) for key, value in headers if key.lower() not in dropped)


def _framed(passed: Headers, original: Headers) -> Headers:
    """Keep a chunked body chunked. A length beside it is a contradiction that smugglers use."""
    if b"chunked" not in tokens(original, b"transfer-encoding"):
        return passed
    return [(k, v) for k, v in passed if k != b"content-length"] + [
        (b"transfer-encoding", b"chunked")
    ]


def _upgrade(headers: Headers) -> Headers:
    protocol = find(headers, b"upgrade") if is_upgrade(headers) else None
    return [(b"connection", b"upgrade"), (b"upgrade", protocol)] if protocol else []


def _configured(service: Service) -> Headers:
    """List the headers a service sets itself; false removes one, a list repeats it."""
    found: Headers = []
    for name, value in service.response_headers.items():
        values = value if isinstance(value, list) else [value]
        found += [
            (name.lower().encode(), str(one).encode()) for one in values if one not in (False, None)
        ]
    return found
