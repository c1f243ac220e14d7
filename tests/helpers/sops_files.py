"""SOPS files, made by the real program with an age key of the test's own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyrage

SOPS = Path(sys.executable).parent / "sops"


@dataclass(frozen=True)
class AgeKey:
    """A key pair, made anew in each test."""

    private: str
    recipient: str


def age_key() -> AgeKey:
    """Make a key, as age-keygen does."""
    identity = pyrage.x25519.Identity.generate()
    return AgeKey(str(identity), str(identity.to_public()))


def encrypt(path: Path, content: str, *keys: AgeKey) -> Path:
    """Write a file that each of these keys can decrypt."""
    path.write_text(content, encoding="utf-8")
    recipients = ",".join(key.recipient for key in keys)
    done = subprocess.run(
        [str(SOPS), "encrypt", "--age", recipients, "--in-place", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return path
