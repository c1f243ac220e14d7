"""What others are told who find a machine's lease taken: who has it, since when, and why."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from datetime import UTC, datetime

from roost.report.wording import one_line

LONGEST = 200
"""Cut to what fits a line or two."""


def holding(verb: str, environ: Mapping[str, str], why: str = "") -> str:
    """Return what is done, by whom, for what reason, and since when.

    Args:
        verb: such as `roost apply`.
        environ: tells who runs it; on GitHub the run is the reason, if no other is given.
        why: the reason.
    """
    reason = one_line(why or run_url(environ))
    told = f"{verb} by {one_line(who(environ))}" + (f" ({reason})" if reason else "")
    since = f", since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return told[: LONGEST - len(since)] + since


def who(environ: Mapping[str, str]) -> str:
    """Return who asks: GitHub's actor, or the user of this computer."""
    named = environ.get("GITHUB_ACTOR") or environ.get("LOGNAME") or environ.get("USER")
    if named and named.strip():
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def run_url(environ: Mapping[str, str]) -> str:
    """Return the address of the run on GitHub; empty outside of one."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}" if run else ""
