"""What is read of HTTP/1.1: heads, parts of bodies, ends, and errors."""

from __future__ import annotations

from dataclasses import dataclass

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, and values; a name may occur several times."""

SWITCHING = 101
OK = 200
BAD = 400


class NotHttpError(Exception):
    """The data is not HTTP that is served here; `status` is what to answer to a client."""

    def __init__(self, reason: str, status: int = BAD) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Request:
    """The head of a request; `length` is the size of its body in bytes, where it was told."""

    method: bytes
    target: bytes
    version: str
    headers: Headers
    has_body: bool
    length: int | None
    chunked: bool
    is_upgrade: bool
    keeps_alive: bool


@dataclass(frozen=True)
class Response:
    """The head of a response.

    Attributes:
        length: The size of its body in bytes, where it was told.
        until_closed: Whether its body ends with the connection.
    """

    status: int
    reason: bytes
    headers: Headers
    has_body: bool
    length: int | None
    chunked: bool
    until_closed: bool
    keeps_alive: bool

    @property
    def interim(self) -> bool:
        """Whether another response follows it."""
        return self.status < OK and self.status != SWITCHING


@dataclass(frozen=True)
class End:
    """The end of a message, with its trailers."""

    trailers: Headers


Event = Request | Response | bytes | End | NotHttpError
"""What was read: heads, parts of bodies, ends, and at last an error after which nothing is read."""
