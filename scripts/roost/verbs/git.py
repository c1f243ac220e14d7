"""What git says of a checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

LIMIT_S = 10


def ask_git(environ: Mapping[str, str], folder: Path, *words: str) -> str | None:
    """Give what a git command prints; None where there is no git, no checkout, or no answer."""
    try:
        done = subprocess.run(  # noqa: S603 - arguments are ours and a folder
            ["git", "-C", str(folder), *words],  # noqa: S607 - git, of PATH
            env={name: environ[name] for name in ("HOME", "PATH") if name in environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
