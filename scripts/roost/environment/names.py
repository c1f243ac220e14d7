"""Rules for the name of an environment, which its file and its GitHub environment share.

Every command that creates, checks or sets up environments uses these rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

FILE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
PLAN = "plan"
"""The GitHub environment with the read-only token."""
PULL_REQUESTS = "pull-requests"
"""The GitHub environment with the key of the App that opens pull requests; only main may use it."""
BACKUP = ".backup"
"""The end of the GitHub environment of the scheduled dumps, after the environment's name."""
NOTIFY = "notify"
"""The GitHub environment with the addresses for messages; only main may use it."""
RESERVED: Mapping[str, str] = {
    PLAN: "has the read-only token, and every branch may use it",
    PULL_REQUESTS: "has the key of the App that opens pull requests",
    NOTIFY: "has the addresses for messages",
    "copilot": "gives its secrets to GitHub's coding agent, which works on any branch",
    "github-pages": "is created by GitHub itself, for the site of a repository",
}
"""GitHub environments with another purpose, in lower case, and what each does."""


def name_fault(name: str) -> str:
    """Return why an environment cannot have a name, and the fix; empty where it can.

    GitHub ignores the case of environment names, so this does too.
    """
    if reason := RESERVED.get(name.lower()):
        return f"the name {name} is reserved: GitHub's environment {name.lower()} {reason}; choose another name"
    if not FILE_NAME.fullmatch(name):
        return f"{name} is not an environment name; use lower-case letters, digits and dashes"
    return ""
