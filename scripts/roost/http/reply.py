"""A successful answer: JSON, read as the type that the service documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from roost.errors import ServiceError
from roost.http.messages import one_line

Json = dict[str, Any]
T = TypeVar("T")
Unreadable = Callable[[httpx.Response, str, str], ServiceError]
"""Returns a service's error for an answer, the call it belongs to, and what is wrong with it."""


@dataclass(frozen=True)
class Reply:
    """A decoded body, and what an error about it must name.

    Args:
        body: the decoded JSON; None where there was no content.
        where: the call, such as `GET /apps`.
        response: the answer itself.
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
            return TypeAdapter(kind).validate_python(self.body)
        except RecursionError:
            raise self.wrong("nested too deeply") from None
        except ValidationError as error:
            # Neither the input nor the context: both may hold what was sent.
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the body"
            raise self.wrong(one_line(f"{place}: {first['msg']}")) from None

    def wrong(self, reason: str) -> ServiceError:
        """Return the error that says what is wrong with this answer."""
        return self.unreadable(self.response, self.where, reason)


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
    raise ValueError(word)  # NaN and Infinity are Python's, not JSON's


def _finite(written: str) -> float:
    """Read a number; one that is too large for a float could not be written back as JSON."""
    number = float(written)
    return number if isfinite(number) else _no_number(written)
