"""A type for secret values that hides its value in text, reprs and pickles."""

from __future__ import annotations

import json
from typing import NoReturn
from urllib.parse import quote

HIDDEN = "[hidden]"


class SecretText:
    """A value that only `reveal` returns: not str, repr, format, pickle, copy or JSON."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value; call this at the one place that sends it."""
        return self._value

    @property
    def is_text(self) -> bool:
        """Whether it can be sent and be the value of a variable: valid Unicode without NUL."""
        return "\0" not in self._value and not any("\ud800" <= c <= "\udfff" for c in self._value)

    def redact(self, text: str) -> str:
        """Replace the value in a text that may echo it, plain or escaped as in JSON and URLs."""
        for spelling in _spellings(self._value):
            text = text.replace(spelling, HIDDEN)
        return text

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return f"SecretText({HIDDEN})"

    def __format__(self, _: str) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and other._value == self._value

    def __hash__(self) -> int:
        return hash((SecretText, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")


def _spellings(value: str) -> tuple[str, ...]:
    """Return the forms in which an answer may echo a value, the longest first."""
    if not value:
        return ()
    ways = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value, safe="", errors="replace"),
    }
    return tuple(sorted(ways, key=len, reverse=True))
