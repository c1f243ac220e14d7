"""Which repository of GitHub this checkout is of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from roost.operations.git import ask_git

# https://github.com/acme/infra.git, git@github.com:acme/infra, ssh://git@github.com/acme/infra; what has no
# host is a folder, whose names are nobody's. Of one letter it is a disk.
_HOST = r"(?:[^@/\s]+@)?[A-Za-z0-9][A-Za-z0-9.-]+"
_REMOTE = re.compile(
    rf"(?:(?:https?|ssh|git)://{_HOST}(?::[0-9]+)?/|{_HOST}:/?)"
    r"([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+?)(?:\.git)?/?",
    re.ASCII,
)


def repository_slug(environ: Mapping[str, str], folder: Path) -> str:
    """Return OWNER/NAME from GITHUB_REPOSITORY, or from the host that `origin` leads to; empty for none."""
    if given := environ.get("GITHUB_REPOSITORY"):
        return given
    found = _REMOTE.fullmatch(ask_git(environ, folder, "remote", "get-url", "origin") or "")
    return found[1] if found else ""
