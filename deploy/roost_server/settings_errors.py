"""Errors of Prefect's settings, reported without the values, which may be secrets."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

STDERR = 2
HIDDEN = "[hidden]"
OWN_WORDS = ("Value error", "Assertion failed")
"""The prefixes of messages that pydantic takes from a validator."""
SHORTEST_VALUE = 3  # a shorter value is not treated as a secret


@contextmanager
def withhold_stderr(reported: type[Exception]) -> Iterator[None]:
    """Withhold standard error, and write it at the end, except after an exception of this type.

    The file descriptor is replaced, not `sys.stderr`: a logger created meanwhile must stay usable.
    """
    sys.stderr.flush()
    real = os.dup(STDERR)
    drop = False
    with os.fdopen(os.memfd_create("stderr"), "w+b") as withheld:
        os.dup2(withheld.fileno(), STDERR)
        try:
            yield
        except reported:
            drop = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(real, STDERR)
            os.close(real)
            if not drop:
                withheld.seek(0)
                with os.fdopen(STDERR, "wb", closefd=False) as stderr:
                    shutil.copyfileobj(withheld, stderr)


def explain(error: ValidationError) -> str:
    """Return each wrong setting and its rule, without its value.

    Pydantic's own messages never hold the value; those of Prefect's validators may.
    """
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or error.title}: "
        f"{without_values(fault['msg'], fault['input'])}"
        for fault in error.errors(include_context=False, include_url=False)
    ]
    return f"a Prefect setting is wrong ({'; '.join(faults)}); fix prefect.settings and apply again"


def without_values(message: str, given: object) -> str:
    """Remove every given value, at any depth, from a validator's message."""
    if not message.startswith(OWN_WORDS):
        return message
    for value in sorted(set(_texts(given)), key=len, reverse=True):
        if len(value) >= SHORTEST_VALUE:
            message = message.replace(repr(value), HIDDEN).replace(value, HIDDEN)
    return message


def _texts(given: object) -> Iterator[str]:
    if isinstance(given, Mapping):
        for value in given.values():
            yield from _texts(value)
    elif isinstance(given, list | tuple | set | frozenset):
        for value in given:
            yield from _texts(value)
    elif hasattr(given, "get_secret_value"):
        yield str(given.get_secret_value())
    elif given is not None:
        yield str(given)
