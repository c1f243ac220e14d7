"""Let clients in with the password of before for a while after it was changed.

The machines of a server get a new password one after the other, and Redis has it first. The volume
keeps the SHA-256 of both, the form in which Redis's configuration has them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "roost-passwords.json"
GRACE_S = 900.0
"""Longer than the machines of a server take to be changed one by one."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Passwords:
    """The passwords that Redis accepts, each as its SHA-256.

    Attributes:
        now: the machine's own.
        before: the one of before; empty for none.
        until: when that one ends, in seconds since 1970.
    """

    now: str
    before: str = ""
    until: float = 0.0

    def accepted(self, at: float) -> tuple[str, ...]:
        """Return those that are accepted at a time."""
        return (self.now, self.before) if self.before and at < self.until else (self.now,)


def keep_passwords(folder: Path, password: str, at: float) -> Passwords:
    """Return the passwords from a start on, and write them to the volume."""
    own, kept = digest(password), _read(folder / FILE)
    if kept is None:
        found = Passwords(own)
    elif kept.now == own:
        found = kept
    else:
        found = Passwords(own, kept.now, at + GRACE_S)
    _write(folder / FILE, found)
    return found


def digest(password: str) -> str:
    """Return the form of a password in Redis's configuration."""
    return hashlib.sha256(password.encode()).hexdigest()


def _read(path: Path) -> Passwords | None:
    """Return what an earlier start wrote; None where it wrote nothing that can be used."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = Passwords(str(kept["now"]), str(kept["before"]), float(kept["until"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = [each for each in (found.now, found.before) if each]
    return found if all(map(_DIGEST.fullmatch, known)) and found.now else None


def _write(path: Path, passwords: Passwords) -> None:
    aside = path.with_suffix(".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(passwords), file)
    aside.replace(path)
