"""Clean text from a service before people see it: one line, cut, without control characters."""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from roost.secret_text import SecretText

MAX_MESSAGE = 500
MAX_HEADER = 100
MAX_READ = 2**16
"""How many characters of a body are searched for a message."""


def one_line(text: str, most: int = MAX_MESSAGE) -> str:
    """Return at most `most` characters on one line; `?` replaces unprintable ones."""
    words = " ".join(text.split())[:most]
    return "".join(char if char.isprintable() else "?" for char in words)


def sentence(text: str) -> str:
    """Return a text with a full stop where it lacks one, so that a hint can follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def redacted(text: str, secrets: Iterable[SecretText]) -> str:
    """Return a text on one line without these values, which a service may echo."""
    for secret in secrets:
        text = secret.redact(text)
    return one_line(text)


def header(response: httpx.Response, name: str) -> str:
    """Return at most MAX_HEADER characters of a header; empty where there is none."""
    return one_line(response.headers.get(name, ""))[:MAX_HEADER]
