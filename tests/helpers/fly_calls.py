"""What a call to a fake Fly is made of, and what it may leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from helpers.fly_answers import says

Json = dict[str, Any]


class RefusedError(Exception):
    """Fly says no."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.answer = says(status, {"error": why})


@dataclass(frozen=True)
class Ask:
    """A request, taken apart."""

    verb: str
    path: tuple[str, ...]
    nonce: str
    body: Json
    params: httpx.QueryParams


@dataclass
class Held:
    """A lease; it ends when others have asked for it `looks` times."""

    nonce: str
    looks: int = 10**6


@dataclass(frozen=True)
class Boot:
    """What a machine saw when it booted, and sees until it boots again."""

    secrets: Json
    volume_gb: int


def spelt(ask: Ask) -> str:
    """Return the part of a path that tells calls of one app apart."""
    return "/".join(ask.path[2:]) or "app"
