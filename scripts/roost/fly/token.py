"""Read from a Fly token when it expires, without calling Fly.

A Fly token is one or more macaroons, separated by commas: `fm2_` and base64 of MessagePack. Each is
an array of a nonce, a location, its caveats and a signature. The caveats are an array in which the
number of a kind and its body alternate. One kind is a validity window; the token is valid as long
as all its windows are (superfly/macaroon: format.go, caveat.go). The signature is not checked here.
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
"""A token that expires within this time is reported."""
MAX_CHARACTERS = 64 * 1024
"""Fly's longest tokens have a few thousand."""
_SCHEMES = re.compile(r"(?:(?:FlyV1|Bearer)\s+)*", re.IGNORECASE)
_MACAROON = re.compile(r"fm(?:2|1[ar])_([A-Za-z0-9+/]+)=*", re.ASCII)
_VALIDITY_WINDOW = 4
_IF_PRESENT = 13
"""A caveat that wraps others, for some kinds of requests; a window inside of it counts too."""
_DEEPEST = 8
_PARTS = 4
# Every error that msgpack raises for bytes that are not MessagePack, too deep or too large.
_JUNK = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)


def token_ends(token: SecretText) -> datetime | None:
    """Return when a token expires, by the earliest of its windows; None where it has none.

    Older tokens and tokens of other kinds have no window that can be read.
    """
    text = token.reveal()
    if len(text) > MAX_CHARACTERS:
        return None
    text = text.strip()
    parts = text[_SCHEMES.match(text).end() :].split(",")  # type: ignore[union-attr] # the pattern also matches an empty text
    ends = [end for part in parts for end in _ends_of(part.strip())]
    return min(ends, default=None)


def ends_soon(token: SecretText, now: datetime) -> datetime | None:
    """Return when a token expires, if that is within 14 days or was before now."""
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
    """Return a time of seconds since the epoch; None for anything that is no such number."""
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
