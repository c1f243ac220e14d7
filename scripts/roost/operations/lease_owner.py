"""The description of a lease: who holds it, what for, and since when."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from datetime import UTC, datetime

from roost.report.wording import one_line

LONGEST = 200
"""Longest description, in characters: one or two lines."""


def lease_description(command: str, environ: Mapping[str, str], why: str = "") -> str:
    """Return the description of a lease: the command, its user, the reason and the time.

    Args:
        command: the command without `roost`, such as `apply`.
        environ: names the user; on GitHub the run's URL is the default reason.
        why: the reason.
    """
    reason = one_line(why or run_url(environ))
    text = f"roost {command} by {one_line(who(environ))}" + (f" ({reason})" if reason else "")
    since = f", since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return text[: LONGEST - len(since)] + since


def who(environ: Mapping[str, str]) -> str:
    """Return the user: GitHub's actor, or the user of this computer."""
    named = environ.get("GITHUB_ACTOR") or environ.get("LOGNAME") or environ.get("USER")
    if named and named.strip():
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def run_url(environ: Mapping[str, str]) -> str:
    """Return the URL of the run on GitHub; empty outside of a run."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}" if run else ""
