"""Remove secrets from lines that a machine logged, before people see them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from roost.secret_text import HIDDEN, SecretText

SHORTEST = 4
"""A shorter part occurs inside other words."""
# A login in an address or in a header, whoever it belongs to. A password may hold an @.
_LOGINS = re.compile(r"(?<=://)[^/\s]+(?=@)|(?<=\bBasic )\S+|(?<=\bBearer )\S+")
_PASSWORD = re.compile(r"[^:/]+://[^:/@]*:(?P<password>.*)@", re.DOTALL)


def hider(secrets: Iterable[SecretText]) -> Callable[[str], str]:
    """Return a function that removes these values, their passwords, and any login in an address."""
    parts = sorted(
        {part for secret in secrets for part in _parts(secret.reveal()) if len(part) >= SHORTEST},
        key=len,
        reverse=True,
    )
    values = [SecretText(part) for part in parts]

    def hide(text: str) -> str:
        for value in values:
            text = value.redact(text)
        return _LOGINS.sub(HIDDEN, text)

    return hide


def _parts(value: str) -> Iterable[str]:
    yield value
    if found := _PASSWORD.match(value):
        yield from (found["password"], unquote(found["password"]))
    else:
        yield value.partition(":")[2]  # the password of user:password
