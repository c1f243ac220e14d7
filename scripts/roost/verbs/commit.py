"""Which commit an apply comes from."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

LIMIT_S = 10
_COMMIT = re.compile(r"[0-9a-f]{40,64}", re.ASCII)


def commit_of(environ: Mapping[str, str], folder: Path) -> str:
    """Give the commit of GITHUB_SHA, or of a clean checkout; empty where no commit says what is applied."""
    if given := environ.get("GITHUB_SHA"):
        return given
    if _git(environ, folder, "status", "--porcelain") != "":
        return ""
    found = _git(environ, folder, "rev-parse", "HEAD") or ""
    return found if _COMMIT.fullmatch(found) else ""


def _git(environ: Mapping[str, str], folder: Path, *words: str) -> str | None:
    """Give what git says; None where there is no git, or no checkout."""
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
