"""GitHub's API for one repository: one method for each call, typed answers.

Paths and bodies: https://docs.github.com/rest; GraphQL is used for what REST does not return. How
calls are sent, repeated, paged and refused is in calls.py, transport.py and refusals.py.

A create whose answer was lost may have happened. Where GitHub allows only one of a kind (a label, a
branch, an open pull request of a branch), the method looks and returns the existing one. Elsewhere
(a comment, an issue) the error has `ambiguous` set, and the caller looks for its own marker.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from roost.errors import MissingTokenError
from roost.github.contents import ContentCalls
from roost.github.deployments import DeploymentCalls
from roost.github.issues import IssueCalls
from roost.github.pulls import PullCalls
from roost.github.releases import ReleaseCalls
from roost.github.settings import SettingCalls
from roost.secret_text import SecretText

API_URL = "https://api.github.com"


class GitHub(PullCalls, IssueCalls, ContentCalls, DeploymentCalls, SettingCalls, ReleaseCalls):
    """Every call that Roost makes about a repository; use as an asynchronous context manager."""


def github_of(
    environ: Mapping[str, str], *, transport: httpx.AsyncBaseTransport | None = None
) -> GitHub:
    """Return the connection that the variables of a workflow step, or of a person's shell, describe.

    Raises:
        MissingTokenError: GITHUB_TOKEN is not set.
        UsageError: the address, the repository or the token cannot be one.
    """
    token = environ.get("GITHUB_TOKEN", "")
    if not token:
        raise MissingTokenError(
            "No GitHub token is set.",
            where="GITHUB_TOKEN",
            advice="In a workflow give the step `GITHUB_TOKEN: ${{ github.token }}`; elsewhere use `gh auth token`.",
        )
    return GitHub(
        environ.get("GITHUB_API_URL") or API_URL,
        environ.get("GITHUB_REPOSITORY", ""),
        SecretText(token),
        transport=transport,
    )
