"""What a machine remembers of the secrets it was given, so that a change is known without a value.

Fly never gives a value back, and how it makes its digest is its own secret. So beside the digest
that Fly returned stands a fingerprint of the value: scrypt over a salt of its own, slow on purpose.
The marks are one entry of a machine's metadata, sent with the config that boots with them. Pure.
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
# Whoever may write metadata must not be able to make a plan take minutes or gigabytes.
_MOST_MEMORY = 2**28
_MOST_TURNS = 4


@dataclass(frozen=True)
class Effort:
    """What one fingerprint costs: 128 x r x 2^ln bytes and, times p, the time to fill them."""

    ln: int
    r: int = 8
    p: int = 1

    @property
    def memory(self) -> int:
        """Bytes that are needed at once."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2)

    @property
    def bearable(self) -> bool:
        """Whether it is one that we are ready to spend."""
        return (
            self.ln >= 1
            and self.r >= 1
            and 1 <= self.p <= _MOST_TURNS
            and self.memory <= _MOST_MEMORY
        )


MODERATE = Effort(ln=15)
"""32 MiB and about 80 ms a secret: docs/decisions says why."""


@dataclass(frozen=True)
class Mark:
    """One secret as it was set: Fly's digest of it, and our fingerprint."""

    digest: str
    fingerprint: str


Marks = Mapping[str, Mark]


def fingerprint(value: SecretText, salt: bytes, effort: Effort = MODERATE) -> str:
    """Return a text that tells a value from others, with all that it takes to make it again."""
    made = _derive(value, salt, effort)
    spelt = f"ln={effort.ln},r={effort.r},p={effort.p}"
    return f"scrypt${spelt}${_encode(salt)}${_encode(made)}"


def same_value(value: SecretText, known: str) -> bool:
    """Return whether a value has that fingerprint; it takes as long either way."""
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
        # A lone half of a surrogate pair is no UTF-8, and yet a variable may hold it.
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
    """Read the marks of a machine; what is none of ours counts as no mark."""
    try:
        found = json.loads(metadata.get(MARKS_KEY, "{}"))
        return {
            str(name): Mark(str(mark["digest"]), str(mark["fingerprint"]))
            for name, mark in found.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def with_marks(config: Json, marks: Marks) -> Json:
    """Return a machine's config with these marks, and none besides."""
    metadata = {k: v for k, v in (config.get("metadata") or {}).items() if k != MARKS_KEY}
    if marks:
        found = {name: vars(mark) for name, mark in sorted(marks.items())}
        metadata[MARKS_KEY] = json.dumps(found, separators=(",", ":"))
    return {**config, "metadata": metadata}
