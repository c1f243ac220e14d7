"""What git says of a checkout, and nothing that a checkout tells git to do."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

LIMIT_S = 10
# All of ours that git gets: the rest of a job's environment holds tokens.
_PASSED_ON = ("HOME", "PATH")
# Everything that could run a program because of a file somebody committed, or of a configuration.
_CONFINED = (
    *("-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "--no-pager"),
)


def repository_top(folder: Path) -> Path | None:
    """Return the nearest folder upwards that has a `.git`; None where there is none.

    Git itself takes any folder with HEAD, config, objects and refs for a repository, and runs what its
    config names. A pull request can commit those. It cannot commit a `.git`.
    """
    start = folder.absolute()
    return next((above for above in (start, *start.parents) if (above / ".git").exists()), None)


def run_git(
    environ: Mapping[str, str], folder: Path, *words: str, limit_s: float = LIMIT_S
) -> subprocess.CompletedProcess[bytes] | None:
    """Run a git command that only reads, for the repository that a folder is in.

    Paths in `words` are relative to the top of the repository.

    Returns:
        How it ended; None where there is no git, no repository, or no end.
    """
    top = repository_top(folder)
    if top is None:
        return None
    passed = {name: environ[name] for name in _PASSED_ON if name in environ}
    try:
        return subprocess.run(  # noqa: S603 - arguments are ours, a folder, and a commit after --end-of-options
            ["git", "-C", str(top), *_CONFINED, *words],  # noqa: S607 - git, of PATH
            env={**passed, "GIT_CEILING_DIRECTORIES": str(top.parent), "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def ask_git(environ: Mapping[str, str], folder: Path, *words: str) -> str | None:
    """Return what a git command prints; None where there is no git, no repository, or no answer."""
    done = run_git(environ, folder, *words)
    if done is None or done.returncode != 0:
        return None
    return done.stdout.decode(errors="replace").strip()
