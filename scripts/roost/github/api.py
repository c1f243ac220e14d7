"""GitHub's API: one method for each thing asked of one repository, typed answers.

Paths and bodies: https://docs.github.com/rest; what only GraphQL tells is asked there. How calls
are sent, repeated, paged and refused is in calls.py, transport.py and refusals.py. A create whose answer was
lost may have happened: where GitHub itself allows only one of a kind (a label, a branch, an open
pull request of a branch) the method looks and gives what is there; elsewhere (a comment, an issue)
the error says `ambiguous`, and the caller looks for its own marker.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from roost.errors import MissingTokenError
from roost.github.contents import ContentCalls
from roost.github.deployments import DeploymentCalls
from roost.github.issues import IssueCalls
from roost.github.pulls import PullCalls
from roost.github.settings import SettingCalls
from roost.secret_text import SecretText

API_URL = "https://api.github.com"


class GitHub(PullCalls, IssueCalls, ContentCalls, DeploymentCalls, SettingCalls):
    """Everything that is asked of one repository; use as an asynchronous context manager."""


def github_of(
    environ: Mapping[str, str], *, transport: httpx.AsyncBaseTransport | None = None
) -> GitHub:
    """Return the connection that a step of a workflow, or a person with the same variables, has.

    Raises:
        MissingTokenError: GITHUB_TOKEN is not set.
        UsageError: the address, the repository or the token is none.
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
