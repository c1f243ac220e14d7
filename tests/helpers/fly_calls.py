"""The parts of a call to the fake Fly, and the state that calls leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from helpers.fly_answers import says

Json = dict[str, Any]


class RefusedError(Exception):
    """Fly refuses a request."""

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
    """A lease that ends after others have asked for it `looks` times."""

    nonce: str
    looks: int = 10**6


@dataclass(frozen=True)
class Boot:
    """What a machine booted with."""

    secrets: Json
    volume_gb: int


def spelt(ask: Ask) -> str:
    """Return the part of a path that distinguishes calls of one app."""
    return "/".join(ask.path[2:]) or "app"
