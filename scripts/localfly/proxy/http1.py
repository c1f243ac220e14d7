"""Read HTTP/1.1 messages with llhttp, as a pure part: bytes in, events out.

llhttp checks the syntax. What it leaves to its users is checked here: the size of a head, the version,
the host, and which transfer encodings are served.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import httptools

from localfly.proxy.messages import (
    BAD,
    OK,
    SWITCHING,
    End,
    Event,
    Headers,
    NotHttpError,
    Request,
    Response,
)

HEAD_BYTES = 64 * 1024  # a request or response with a larger head is refused (431, 502)
_TOO_LARGE = 431
_NOT_SERVED = 501
_OTHER_VERSION = 505
_BODYLESS = (204, 304)
# A method that llhttp does not know, in a line that is otherwise right.
_UNKNOWN_METHOD = re.compile(rb"(?:\A|\n)[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.[01]\r\n")


class Reader:
    """What both kinds of messages share. llhttp calls the methods that begin with `on_`."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.partial = 0  # bytes since the last event: of a head, or between two parts of a body
        self._headers: Headers = []
        self._head_bytes = 0
        self._in_body = False
        self._failed: NotHttpError | None = None

    def _feed(self, parser: Any, data: bytes) -> bytes | None:
        """Read data; return what follows a request or response for another protocol, if one came."""
        rest = None
        before = len(self.events)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            self._fail(self._failed or self._explain(error, data))
            return None
        self.partial = 0 if len(self.events) > before else self.partial + len(data)
        if self.partial > HEAD_BYTES:
            self._fail(_too_large(in_body=self._in_body))
        return rest

    def _explain(self, error: Exception, _data: bytes) -> NotHttpError:
        return NotHttpError(str(error))

    def _fail(self, error: NotHttpError) -> None:
        self._failed = error
        self.events.append(error)

    def _refuse(self, reason: str, status: int = BAD) -> None:
        """Stop llhttp within one of its calls; `_feed` reports the reason."""
        self._failed = NotHttpError(reason, status)
        raise self._failed

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._failed = _too_large(in_body=self._in_body)
            raise self._failed

    def on_message_begin(self) -> None:
        """Start a head."""
        self._headers = []
        self._head_bytes = 0
        self._in_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or after the body a trailer."""
        self._count(len(name) + len(value) + len(b": \r\n"))
        self._headers.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self.events.append(data)

    def _complete(self, head: Request | Response) -> None:
        """Take a head; what headers follow are trailers."""
        self.events.append(head)
        self._headers = []
        self._head_bytes = 0
        self._in_body = True


class RequestReader(Reader):
    """Reads the requests of one client, which may send the next before a response.

    llhttp takes everything after a request for another protocol (`Upgrade`) as that protocol's. It is
    kept: `read_on` reads it as requests, where the upgrade was refused, and `take_rest` gives it away.
    With a body such a request is an ordinary one: a server may ignore `Upgrade` (RFC 9110 7.8).
    """

    def __init__(self) -> None:
        super().__init__()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._rest: list[bytes] | None = None
        self._body_of: Request | None = None  # the request whose body llhttp skips
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Read data."""
        if self._rest is not None:
            self._rest.append(data)
            return
        if self._failed is not None:
            return
        rest = self._feed(self._parser, data)
        if rest is not None and self._body_of is not None:
            self._read_body_of(self._body_of, rest)
        elif rest is not None:
            self._rest = [rest]

    @property
    def rest_bytes(self) -> int:
        """How much came that may be another protocol's."""
        return sum(map(len, self._rest or ()))

    def skip_body(self) -> None:
        """Go on after a body of a known length that was passed on beside the reader."""
        self._parser = httptools.HttpRequestParser(self)
        self.events.append(End([]))

    def read_on(self) -> None:
        """Read as requests what came after a refused request for another protocol."""
        rest, self._rest = self._rest or [], None
        for data in rest:
            self.feed(data)

    def take_rest(self) -> bytes:
        """Return what came in the other protocol."""
        rest, self._rest = b"".join(self._rest or ()), None
        return rest

    def on_url(self, target: bytes) -> None:
        """Take the target, or a part of it."""
        if self._parser.get_method() == b"PRI":
            self._refuse("HTTP/2 is not served here, use HTTP/1.1", _OTHER_VERSION)
        self._count(len(target))
        self._target += target

    def on_headers_complete(self) -> None:
        """Take the head."""
        if self._skipping:
            self._skipping = False
            self._target, self._headers = b"", []
            return
        version = self._parser.get_http_version()
        self._check_version(version)
        coded = _values(self._headers, b"transfer-encoding")
        chunked = _is_chunked(coded)
        if coded and not chunked:
            self._refuse("only the transfer encoding chunked is served", _NOT_SERVED)
        sized = _values(self._headers, b"content-length")
        has_body = bool(coded or sized)
        wants_upgrade = self._parser.should_upgrade()
        head = Request(
            method=self._parser.get_method(),
            target=self._target,
            version=version,
            headers=self._headers,
            has_body=has_body,
            length=int(sized[0]) if sized and not coded else None,
            chunked=chunked,
            is_upgrade=wants_upgrade and not has_body,
            keeps_alive=version == "1.1" and not _closes(self._headers),
        )
        if head.method == b"CONNECT":
            self._refuse("CONNECT is not served", _NOT_SERVED)
        self._target = b""
        self._body_of = head if wants_upgrade and has_body else None
        self._complete(head)

    def on_message_complete(self) -> None:
        """Take the end, but where llhttp skips the body."""
        if self._body_of is None:
            self.events.append(End(self._headers))

    def _check_version(self, version: str) -> None:
        if version.startswith("2"):
            self._refuse("HTTP/2 is not served here, use HTTP/1.1", _OTHER_VERSION)
        if version not in ("1.0", "1.1"):
            self._refuse(f"HTTP/{version} is not served here")
        hosts = len(_values(self._headers, b"host"))
        if hosts > 1 or (not hosts and version == "1.1"):
            self._refuse("it needs one Host header")

    def _read_body_of(self, head: Request, data: bytes) -> None:
        """Let another parser read the body of a request: it gets a head with the same framing."""
        self._body_of = None
        self._parser = httptools.HttpRequestParser(self)
        self._skipping = True
        framing = (b"transfer-encoding", b"content-length")
        lines = [b"%s: %s\r\n" % header for header in head.headers if header[0] in framing]
        self._feed(self._parser, b"POST / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n")
        self.feed(data)

    def _explain(self, error: Exception, data: bytes) -> NotHttpError:
        if isinstance(error, httptools.HttpParserInvalidMethodError):
            unknown = _UNKNOWN_METHOD.search(data) is not None
            return NotHttpError("its method is not served", _NOT_SERVED if unknown else BAD)
        return super()._explain(error, data)


class ResponseReader(Reader):
    """Reads the responses to one request: interim ones and the last."""

    def __init__(self, method: bytes) -> None:
        super().__init__()
        self.more = False  # whether data came after the last response
        self.complete = False
        self._parser: Any = httptools.HttpResponseParser(self)
        # Both framings at once are a fault of a server that clients live with; the length is dropped.
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True)
        self._to_head = method == b"HEAD"
        self._reason = b""
        self._last: Response | None = None
        self._rest: bytes | None = None

    def feed(self, data: bytes) -> None:
        """Read data."""
        if self._rest is not None:
            self._rest += data
        elif self.complete:
            self.more = True
        elif self._failed is None:
            self._rest = self._feed(self._parser, data)

    @property
    def reusable(self) -> bool:
        """Whether the connection can be used for another request."""
        last = self._last
        whole = self.complete and not self.more
        return whole and last is not None and last.keeps_alive and not last.until_closed

    def end(self) -> None:
        """Take the end of the connection, which may end a body."""
        if self._last is not None and self._last.until_closed and not self.complete:
            self._finish([])

    def skip_body(self) -> None:
        """End the response: the rest of its body was passed on beside the reader."""
        self._finish([])

    def take_rest(self) -> bytes:
        """Return what came in the other protocol after a 101."""
        return self._rest or b""

    def on_message_begin(self) -> None:
        """Start a head, or see that more came than was asked for."""
        if self.complete:
            self.more = True
        super().on_message_begin()

    def on_status(self, reason: bytes) -> None:
        """Take the reason, or a part of it."""
        self._count(len(reason))
        self._reason += reason

    def on_headers_complete(self) -> None:
        """Take the head."""
        if self.complete:
            return
        status = self._parser.get_status_code()
        coded = _values(self._headers, b"transfer-encoding")
        chunked = _is_chunked(coded)
        if coded and not chunked:
            self._refuse("only the transfer encoding chunked is served")
        sized = _values(self._headers, b"content-length")
        has_body = not (self._to_head or status < OK or status in _BODYLESS)
        if status == SWITCHING and not self._parser.should_upgrade():
            self._refuse("a 101 names no protocol")
        head = Response(
            status=status,
            reason=self._reason,
            headers=self._headers,
            has_body=has_body,
            length=int(sized[0]) if sized and not coded else None,
            chunked=chunked,
            until_closed=has_body and not (coded or sized),
            keeps_alive=self._parser.get_http_version() == "1.1" and not _closes(self._headers),
        )
        self._reason = b""
        self._complete(head)
        if not head.interim:
            self._last = head
        if not has_body and not head.interim:
            self._finish([])

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.complete:
            self.more = True
        else:
            super().on_body(data)

    def on_message_complete(self) -> None:
        """Take the end of the last response."""
        if self._last is not None and not self.complete:
            self._finish(self._headers)

    def _finish(self, trailers: Headers) -> None:
        self.complete = True
        self.events.append(End(trailers))

    def _fail(self, error: NotHttpError) -> None:
        if self.complete:
            self.more = True
        else:
            super()._fail(error)


def _too_large(*, in_body: bool) -> NotHttpError:
    what = "what surrounds its body" if in_body else "its head"
    return NotHttpError(f"{what} is larger than {HEAD_BYTES} bytes", _TOO_LARGE)


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _is_chunked(coded: list[bytes]) -> bool:
    return len(coded) == 1 and coded[0].strip().lower() == b"chunked"


def _closes(headers: Headers) -> bool:
    named = b",".join(_values(headers, b"connection")).lower()
    return b"close" in named and b"close" in map(bytes.strip, named.split(b","))
