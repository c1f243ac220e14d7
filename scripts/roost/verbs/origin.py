"""Which repository of GitHub this checkout is of."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

LIMIT_S = 10
# https://github.com/acme/infra.git, git@github.com:acme/infra, ssh://git@github.com/acme/infra
_SLUG = re.compile(r"[/:]([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+?)(?:\.git)?/?$", re.ASCII)


def repository_slug(environ: Mapping[str, str], folder: Path) -> str:
    """Give OWNER/NAME from GITHUB_REPOSITORY, or from where `origin` leads; empty for none."""
    if given := environ.get("GITHUB_REPOSITORY"):
        return given
    try:
        done = subprocess.run(  # noqa: S603 - arguments are ours and a folder
            ["git", "-C", str(folder), "remote", "get-url", "origin"],  # noqa: S607 - git, of PATH
            env={name: environ[name] for name in ("HOME", "PATH") if name in environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _SLUG.search(done.stdout.decode(errors="replace").strip())
    return found[1] if found and done.returncode == 0 else ""
