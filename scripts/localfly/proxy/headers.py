"""Filter and add headers, as pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from localfly.proxy.messages import Headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localfly.proxy.services import Service

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
# Headers that frame a message or route it: `connection` cannot name them (RFC 9110 7.6.1). Without
# its length, a body would be read as the next message. `transfer-encoding` is set by `_framed`.
_NEVER_NAMED = frozenset({b"content-length", b"host"})
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
# What may not come behind a body: it frames a message, or says where it goes (RFC 9110 6.5.1).
_NO_TRAILERS = _HOP_BY_HOP | _OURS | {b"content-length", b"host", b"x-forwarded-for"}
_NO_NAME = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FLY_ANSWER = frozenset({b"server", b"via", b"fly-request-id"})


@dataclass
class Origin:
    """Where a request comes from, and which app it is for.

    Attributes:
        region: That of its machine.
        number: Random letters, which make its id.
    """

    app: str
    client_ip: str
    port: int
    region: str
    number: str

    @property
    def request_id(self) -> str:
        """The id of the request, as Fly writes it."""
        return f"{self.number}-{self.region}"


def find(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the first value of a header; names are in lower case."""
    return next((value for key, value in headers if key == name), None)


def tokens(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> set[bytes]:
    """Return the comma-separated words of a header in lower case."""
    values = [value for key, value in headers if key == name]
    if not values:
        return set()
    return {word.strip().lower() for value in values for word in value.split(b",") if word.strip()}


def is_upgrade(headers: Headers) -> bool:
    """Return whether a client asks for another protocol, such as WebSocket."""
    return b"upgrade" in tokens(headers, b"connection") and find(headers, b"upgrade") is not None


def to_machine(headers: Headers, origin: Origin, *, upgrade: bool) -> Headers:
    """Return the request headers for a machine.

    The app's local port stands for Fly's 443 without TLS, so the forwarded scheme is the one that
    the browser used: http. Redirects that a server builds from it lead back here.
    """
    client = origin.client_ip.encode()
    port = b"%d" % origin.port
    passed = [(k, v) for k, v in _passing(headers) if k not in _OURS and k != b"x-forwarded-for"]
    if find(passed, b"host") is None:
        passed.insert(0, (b"host", f"{origin.app}.localhost:{origin.port}".encode()))
    forwarded = [value for key, value in headers if key == b"x-forwarded-for"]
    return [
        *_framed(passed, headers),
        *(_upgrade(headers) if upgrade else ()),
        (b"fly-client-ip", client),
        (b"fly-forwarded-port", port),
        (b"fly-region", origin.region.encode()),
        (b"fly-request-id", origin.request_id.encode()),
        (b"x-forwarded-for", b", ".join([*forwarded, client])),
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
    if not service.response_headers:
        return passed
    replaced = {name.lower().encode() for name in service.response_headers}
    return [(k, v) for k, v in passed if k not in replaced] + _configured(service)


def to_client_first(headers: Headers) -> Headers:
    """Return the headers of an interim response (1xx), which has no body to frame."""
    return [(key, value) for key, value in _passing(headers) if key != b"content-length"]


def trailers(headers: Headers) -> Headers:
    """Return the trailers to pass on: none that frame a message or say where it goes."""
    return [(key, value) for key, value in headers if key not in _NO_TRAILERS]


def own_answer(origin: Origin) -> Headers:
    """Return the headers of every response of the proxy."""
    return [
        (b"server", b"Fly/local"),
        (b"via", b"1.1 fly.io"),
        (b"fly-request-id", origin.request_id.encode()),
    ]


def own_error(origin: Origin, status: int, text: str, *, stays: bool, only_head: bool) -> bytes:
    """Return a whole error response of the proxy; to a HEAD request, without its body."""
    body = text.encode()
    lines = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        *own_answer(origin),
        *([] if stays else [(b"connection", b"close")]),
    ]
    reason = HTTPStatus(status).phrase.encode()
    head = b"".join(b"%b: %b\r\n" % line for line in lines)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, reason, head, b"" if only_head else body)


def _passing(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    """Return the headers without those for one connection and those that `connection` names."""
    named = tokens(headers, b"connection") - _NEVER_NAMED
    dropped = _HOP_BY_HOP | named if named else _HOP_BY_HOP
    return ((key, value) for key, value in headers if key not in dropped)


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
            (_NO_NAME.sub(b"-", name.lower().encode()), _UNPRINTABLE.sub(b" ", str(one).encode()))
            for one in values
            if one not in (False, None)
        ]
    return found
