"""Durations in the API's forms: Go's ("1m30s"), or nanoseconds."""

from __future__ import annotations

import re
from typing import Any

from localfly.api_errors import ApiError

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LIMIT_S = 292 * 365 * 86400.0  # the most that Go's 64 bits of nanoseconds can hold


def seconds(value: Any, default: float) -> float:
    """Return a duration in seconds, or `default` without one.

    Raises:
        ApiError: 400 for a value that is not a duration.
    """
    if value is None or value == "":
        return default
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18:  # noqa: PLR2004 - Go's 64 bits
        return value / 1e9
    raise _unreadable(value)


def _read(text: str) -> float:
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or total > _LIMIT_S:
        raise _unreadable(text)
    return total


def _unreadable(value: Any) -> ApiError:
    return ApiError(400, f"invalid_argument: {value!r} is not a duration, such as 15s or 1m30s")
