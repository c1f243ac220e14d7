"""Which commit an apply comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from roost.operations.git import ask_git

_COMMIT = re.compile(r"[0-9a-f]{40,64}", re.ASCII)


def commit_of(environ: Mapping[str, str], folder: Path) -> str:
    """Return the commit of GITHUB_SHA, or of a clean checkout; empty where no commit says what is applied."""
    if given := environ.get("GITHUB_SHA"):
        return given
    if ask_git(environ, folder, "status", "--porcelain") != "":
        return ""
    found = ask_git(environ, folder, "rev-parse", "HEAD") or ""
    return found if _COMMIT.fullmatch(found) else ""
