"""Fingerprints of secrets in a machine's metadata, so that a plan can detect a changed value. Pure.

Fly never returns a value, and does not document how it computes digests. So a mark holds Fly's digest
and a fingerprint of the value: scrypt with a salt, slow on purpose. The marks are one entry of a
machine's metadata, sent with the config that boots with them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roost.secret_text import SecretText

Json = dict[str, Any]

MARKS_KEY = "roost_secret_marks"
SALT_BYTES = 12
_HASH_BYTES = 16
_PRINT = re.compile(
    r"scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([\w+/]{16})\$([\w+/]{22})", re.ASCII
)
# Limits, because anybody who can write metadata could make a plan take minutes or gigabytes.
_MOST_MEMORY = 2**28
_MOST_TURNS = 4


@dataclass(frozen=True)
class Effort:
    """The cost of a fingerprint: 128 x r x 2^ln bytes, filled p times."""

    ln: int
    r: int = 8
    p: int = 1

    @property
    def memory(self) -> int:
        """The memory it takes, in bytes."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2)

    @property
    def bearable(self) -> bool:
        """Whether it is within the limits."""
        return (
            self.ln >= 1
            and self.r >= 1
            and 1 <= self.p <= _MOST_TURNS
            and self.memory <= _MOST_MEMORY
        )


MODERATE = Effort(ln=15)
"""32 MiB and about 80 ms a secret; docs/decisions explains the choice."""


@dataclass(frozen=True)
class Mark:
    """One secret as it was set: Fly's digest, and the fingerprint of its value."""

    digest: str
    fingerprint: str


Marks = Mapping[str, Mark]
_FOUND = "found:"


def found_mark(name: str, digest: str) -> Mark:
    """Return the mark of a secret that was set before Roost: its value is unknown, its digest not."""
    return Mark(digest, f"{_FOUND}{name}")


def is_found(mark: Mark) -> bool:
    """Return whether a secret was set before Roost, and by no apply since."""
    return mark.fingerprint.startswith(_FOUND)


def fingerprint(value: SecretText, salt: bytes, effort: Effort = MODERATE) -> str:
    """Return the fingerprint of a value, with the salt and cost that are needed to compare."""
    made = _derive(value, salt, effort)
    spelt = f"ln={effort.ln},r={effort.r},p={effort.p}"
    return f"scrypt${spelt}${_encode(salt)}${_encode(made)}"


def same_value(value: SecretText, known: str) -> bool:
    """Return whether a value has a fingerprint; the comparison takes constant time."""
    match = _PRINT.fullmatch(known)
    if match is None:
        return False
    effort = Effort(*(int(part) for part in match.groups()[:3]))
    if not effort.bearable:
        return False
    salt, expected = (base64.b64decode(part + "==") for part in match.groups()[3:])
    return hmac.compare_digest(_derive(value, salt, effort), expected)


def _derive(value: SecretText, salt: bytes, effort: Effort) -> bytes:
    return hashlib.scrypt(
        # A variable can hold half a surrogate pair, which is not UTF-8.
        value.reveal().encode(errors="surrogatepass"),
        salt=salt,
        n=2**effort.ln,
        r=effort.r,
        p=effort.p,
        maxmem=2 * effort.memory,
        dklen=_HASH_BYTES,
    )


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")


def read_marks(metadata: Mapping[str, str]) -> Marks:
    """Return the marks in a machine's metadata; empty if they have another form."""
    try:
        found = json.loads(metadata.get(MARKS_KEY, "{}"))
        return {
            str(name): Mark(str(mark["digest"]), str(mark["fingerprint"]))
            for name, mark in found.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def with_marks(config: Json, marks: Marks) -> Json:
    """Return a machine's config with these marks in place of any others."""
    metadata = {k: v for k, v in (config.get("metadata") or {}).items() if k != MARKS_KEY}
    if marks:
        found = {name: vars(mark) for name, mark in sorted(marks.items())}
        metadata[MARKS_KEY] = json.dumps(found, separators=(",", ":"))
    return {**config, "metadata": metadata}
