"""Tokens as Fly writes them, with made-up keys and signatures."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgpack

VALIDITY_WINDOW, IF_PRESENT, THIRD_PARTY, APPS = 4, 13, 11, 3


def window(end: datetime | int) -> tuple[int, Any]:
    """Return the caveat that a token is valid until a time."""
    seconds = end if isinstance(end, int) else int(end.timestamp())
    return VALIDITY_WINDOW, [0, seconds]


def caveat_set(caveats: Iterable[tuple[int, Any]]) -> list[Any]:
    """Return caveats in the form of a token: kind and body in turn."""
    return [item for caveat in caveats for item in caveat]


def macaroon(*caveats: tuple[int, Any], place: str = "https://api.fly.io/v1") -> str:
    """Return one macaroon with these caveats and some usual ones."""
    nonce = [secrets.token_bytes(8), secrets.token_bytes(16), False]
    third = (THIRD_PARTY, [f"{place}/aaa", secrets.token_bytes(60), secrets.token_bytes(120)])
    app = (APPS, [{4711: 31}])  # a map whose keys are numbers
    whole = [nonce, place, caveat_set([third, app, *caveats]), secrets.token_bytes(32)]
    return f"fm2_{base64.b64encode(msgpack.packb(whole)).decode()}"


def fly_token(end: datetime, *others: datetime) -> str:
    """Return a token as `fly tokens create` prints it: the permission token and its discharge."""
    parts = [macaroon(window(moment)) for moment in (end, *others)]
    return f"FlyV1 {','.join(parts)}"


def at(year: int, month: int, day: int) -> datetime:
    """Return a day as seconds since 1970, as Fly writes times."""
    return datetime(year, month, day, tzinfo=UTC)
