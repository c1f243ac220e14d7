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
"""How pydantic begins what a validator says that is not its own."""
SHORTEST_VALUE = 3  # a shorter one is no secret, and stands in plain words


@contextmanager
def withhold_stderr(reported: type[Exception]) -> Iterator[None]:
    """Hold back what is written, and let it go at the end, unless the body failed so.

    By its number, not by `sys.stderr`: what a logger made meanwhile writes to must stay good.
    """
    sys.stderr.flush()
    real = os.dup(STDERR)
    drop = False
    with os.fdopen(os.memfd_create("stderr"), "w+b") as held:
        os.dup2(held.fileno(), STDERR)
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
                held.seek(0)
                with os.fdopen(STDERR, "wb", closefd=False) as stderr:
                    shutil.copyfileobj(held, stderr)


def explain(error: ValidationError) -> str:
    """Name each wrong setting and what it must be, without what it is.

    Pydantic's own words never hold the value; those of Prefect's validators may.
    """
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or error.title}: "
        f"{without_values(fault['msg'], fault['input'])}"
        for fault in error.errors(include_context=False, include_url=False)
    ]
    return (
        f"a Prefect setting is wrong ({'; '.join(faults)}); mend prefect.settings and apply again"
    )


def without_values(message: str, given: object) -> str:
    """Take every value that was given, at any depth, out of what is said of it."""
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
