"""What an environment may be called: its name is its file's, its GitHub environment's and its label.

One list for whoever makes, checks or sets up environments, so that no door is forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

FILE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
PLAN = "plan"
"""GitHub's environment of the token that only reads."""
PULL_REQUESTS = "pull-requests"
"""GitHub's environment of the key of the App that opens pull requests; only main may use it."""
RESERVED: Mapping[str, str] = {
    PLAN: "holds the token that only reads, and every branch may use it",
    PULL_REQUESTS: "holds the key of the App that opens pull requests",
    "copilot": "hands its secrets to GitHub's coding agent, which works on any branch",
    "github-pages": "is made by GitHub itself, for the site of a repository",
}
"""GitHub environments that serve another purpose, in lower case: what each of them does."""


def name_fault(name: str) -> str:
    """Return why a name cannot be an environment's, and what to do; empty where it can.

    GitHub compares the names of its environments without case, and so does this.
    """
    if reason := RESERVED.get(name.lower()):
        return f"the name {name} is reserved: GitHub's environment {name.lower()} {reason}; choose another name"
    if not FILE_NAME.fullmatch(name):
        return f"{name} is not an environment name; use lower-case letters, digits and dashes"
    return ""
