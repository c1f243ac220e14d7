"""The log of an app, in pieces, from the API that flyctl polls for `fly logs --no-tail`.

It is not in Fly's published document. Path and form are those of fly-go (resource_logs.go).
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from roost.fly.calls import FlyCalls
from roost.fly.models import LogEntry, Many
from roost.http.connection import path_of, present

WEB_API = "https://api.fly.io"
BELOW = "/api"
"""The calls of this API are below `/api/v1`, and the client adds `/v1` to its address."""


@dataclass(frozen=True)
class LogPiece:
    """A piece of a log.

    Args:
        entries: its lines, the oldest first.
        following: the token of the piece that follows; empty if the API named none.
    """

    entries: tuple[LogEntry, ...]
    following: str


class _Line(BaseModel):
    attributes: LogEntry


class _Meta(BaseModel):
    next_token: str | None = None


class _Piece(BaseModel):
    data: Many[_Line] = ()
    meta: _Meta = _Meta()


class LogsClient(FlyCalls):
    """Reads logs; its address is that of Fly's web API with `/api` behind it."""

    async def read_logs(self, app: str, token: str = "", machine: str = "") -> LogPiece:
        """Return a piece of an app's log: without a token the newest lines.

        Args:
            app: the app.
            token: that of the piece, from the one before.
            machine: only lines of this machine; of all if empty.
        """
        wanted = {"next_token": token or None, "instance": machine or None}
        reply = await self._send("GET", path_of("apps", app, "logs"), params=present(wanted))
        piece = reply.read(_Piece)
        return LogPiece(tuple(line.attributes for line in piece.data), piece.meta.next_token or "")
