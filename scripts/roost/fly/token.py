"""When a Fly token ends, read from the token itself. Pure, and without a call.

A token of Fly is one or more macaroons: `fm2_` and the base64 of MessagePack, with commas between
them. Each is an array of a nonce, a place, its caveats and a signature; the caveats are an array
of a number (which kind) and a body in turn. A kind of its own says from when until when it is
valid, and Fly takes the token as long as all of them do (superfly/macaroon: format.go, caveat.go).
Nothing here proves the signature: that is for Fly.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack

from roost.secret_text import SecretText

SOON = timedelta(days=14)
"""So long before its end a token is worth a word."""
MAX_CHARACTERS = 64 * 1024
"""Fly's longest tokens have a few thousand."""
_SCHEMES = re.compile(r"(?:(?:FlyV1|Bearer)\s+)*", re.IGNORECASE)
_MACAROON = re.compile(r"fm(?:2|1[ar])_([A-Za-z0-9+/]+)=*", re.ASCII)
_VALIDITY_WINDOW = 4
_IF_PRESENT = 13
"""Wraps other caveats, for requests about some kinds of things; an end among them is an end."""
_DEEPEST = 8
_PARTS = 4
# All that MessagePack says of bytes that are none of it, too deep or too large.
_JUNK = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)


def token_ends(token: SecretText) -> datetime | None:
    """Return when a token ends, the first of its parts to do so; None where that cannot be read.

    Older tokens and those of other kinds say nothing of it.
    """
    text = token.reveal()
    if len(text) > MAX_CHARACTERS:
        return None
    text = text.strip()
    parts = text[_SCHEMES.match(text).end() :].split(",")  # type: ignore[union-attr] # it matches nothing at all, too
    ends = [end for part in parts for end in _ends_of(part.strip())]
    return min(ends, default=None)


def ends_soon(token: SecretText, now: datetime) -> datetime | None:
    """Return when a token ends, if that is within 14 days."""
    end = token_ends(token)
    return end if end is not None and end - now < SOON else None


def _ends_of(part: str) -> Iterator[datetime]:
    found = _MACAROON.fullmatch(part)
    if found is None:
        return
    bare = found[1]
    try:
        content = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        macaroon = msgpack.unpackb(content, raw=True, strict_map_key=False)
    except _JUNK:
        return
    if isinstance(macaroon, list) and len(macaroon) >= _PARTS:
        yield from _ends_in(macaroon[2], _DEEPEST)


def _ends_in(caveats: Any, depth: int) -> Iterator[datetime]:
    if not isinstance(caveats, list) or depth == 0:
        return
    for kind, body in zip(caveats[::2], caveats[1::2], strict=False):
        if not isinstance(body, list) or len(body) < 2:  # noqa: PLR2004 - both kinds have two fields
            continue
        if kind == _VALIDITY_WINDOW and (end := _moment(body[1])):
            yield end
        elif kind == _IF_PRESENT:
            yield from _ends_in(body[0], depth - 1)


def _moment(seconds: Any) -> datetime | None:
    """Return a time; one that no calendar has is as good as none."""
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
