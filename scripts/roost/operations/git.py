"""Read commits, remotes and the top folder of a checkout, with a git that runs nothing from it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

LIMIT_S = 10
_COMMIT = re.compile(r"[0-9a-f]{40,64}", re.ASCII)
# Matches https://github.com/acme/infra.git, git@github.com:acme/infra and
# ssh://git@github.com/acme/infra. A remote without a host is a folder, which names no repository.
# A host of one letter is a Windows drive.
_HOST = r"(?:[^@/\s]+@)?[A-Za-z0-9][A-Za-z0-9.-]+"
_REMOTE = re.compile(
    rf"(?:(?:https?|ssh|git)://{_HOST}(?::[0-9]+)?/|{_HOST}:/?)"
    r"([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+?)(?:\.git)?/?",
    re.ASCII,
)
# The only variables that git gets, because the rest of a job's environment holds tokens.
_PASSED_ON = ("HOME", "PATH")
# Switch off everything that runs a program named by a committed file or by a configuration.
_CONFINED = (
    *("-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "--no-pager"),
)


def repository_top(folder: Path) -> Path | None:
    """Return the nearest folder upwards that has a `.git`; None where there is none.

    Git itself accepts any folder with HEAD, config, objects and refs as a repository, and runs the
    programs that its config names. A pull request can commit those files, but not a `.git`.
    """
    start = folder.absolute()
    return next((above for above in (start, *start.parents) if (above / ".git").exists()), None)


def run_git(
    environ: Mapping[str, str], folder: Path, *words: str, limit_s: float = LIMIT_S
) -> subprocess.CompletedProcess[bytes] | None:
    """Run a git command that only reads, in the repository that contains a folder.

    Paths in `words` are relative to the top of the repository.

    Returns:
        The finished process; None if there is no git, no repository, or no answer in time.
    """
    top = repository_top(folder)
    if top is None:
        return None
    passed = {name: environ[name] for name in _PASSED_ON if name in environ}
    try:
        return subprocess.run(  # noqa: S603 - the arguments are our own, a folder, and a commit after --end-of-options
            ["git", "-C", str(top), *_CONFINED, *words],  # noqa: S607 - git is found on PATH
            env={**passed, "GIT_CEILING_DIRECTORIES": str(top.parent), "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def ask_git(environ: Mapping[str, str], folder: Path, *words: str) -> str | None:
    """Return the output of a git command; None if there is no git, no repository, or it failed."""
    done = run_git(environ, folder, *words)
    if done is None or done.returncode != 0:
        return None
    return done.stdout.decode(errors="replace").strip()


def commit_of(environ: Mapping[str, str], folder: Path) -> str:
    """Return GITHUB_SHA, or the commit of a clean checkout; empty if there is neither."""
    if given := environ.get("GITHUB_SHA"):
        return given
    if ask_git(environ, folder, "status", "--porcelain") != "":
        return ""
    found = ask_git(environ, folder, "rev-parse", "HEAD") or ""
    return found if _COMMIT.fullmatch(found) else ""


def repository_slug(environ: Mapping[str, str], folder: Path) -> str:
    """Return OWNER/NAME from GITHUB_REPOSITORY or the remote `origin`; empty without both."""
    if given := environ.get("GITHUB_REPOSITORY"):
        return given
    found = _REMOTE.fullmatch(ask_git(environ, folder, "remote", "get-url", "origin") or "")
    return found[1] if found else ""
