"""Read a successful answer: JSON, as the type that the service documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any, TypeVar, cast

import httpx
from pydantic import TypeAdapter, ValidationError

from roost.errors import ServiceError
from roost.http.messages import one_line

Json = dict[str, Any]
T = TypeVar("T")
Unreadable = Callable[[httpx.Response, str, str], ServiceError]
"""Makes the service's error from an answer, the call it belongs to, and what is wrong with it."""


@dataclass(frozen=True)
class Reply:
    """A decoded body, and what an error about it needs.

    Args:
        body: the decoded JSON; None where there was no content.
        where: the call, such as `GET /apps`.
        response: the undecoded answer.
        unreadable: makes the service's error.
    """

    body: Any
    where: str
    response: httpx.Response
    unreadable: Unreadable

    def read(self, kind: type[T]) -> T:
        """Return the body as a type.

        Raises:
            ServiceError: the body is not what the service documents.
        """
        try:
            found: T = _adapter(cast(Hashable, kind)).validate_python(self.body)
        except RecursionError:
            raise self.wrong("nested too deeply") from None
        except ValidationError as error:
            # The input and the context stay out of the message: both may echo what was sent.
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the body"
            raise self.wrong(one_line(f"{place}: {first['msg']}")) from None
        return found

    def wrong(self, reason: str) -> ServiceError:
        """Return the service's error with what is wrong with this answer."""
        return self.unreadable(self.response, self.where, reason)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Return what reads a type; it is made once, because that takes longer than to read an answer."""
    return TypeAdapter(kind)


def decode(response: httpx.Response, where: str, unreadable: Unreadable) -> Any:
    """Return the JSON of an answer; None where there is no content.

    Raises:
        ServiceError: the content is not JSON.
    """
    if not response.content:
        return None
    try:
        return json.loads(response.content, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        raise unreadable(response, where, "not JSON") from None


def _no_number(word: str) -> float:
    raise ValueError(word)  # Python reads NaN and Infinity, which are not JSON


def _finite(written: str) -> float:
    """Read a number; refuse one too large for a float, which could not be written back as JSON."""
    number = float(written)
    return number if isfinite(number) else _no_number(written)
