"""A stand-in of GitHub for each test, and the real client in front of it."""

from __future__ import annotations

import anyio
import pytest
import stamina

from helpers.fake_github import FakeGitHub
from roost.errors import GitHubError
from roost.github.api import GitHub
from roost.secret_text import SecretText


@pytest.fixture
def github():
    """Return a GitHub with one repository."""
    with FakeGitHub() as github:
        yield github


@pytest.fixture
def ask(github):
    """Make calls with a token, the workflow's by default; return the result or the error."""

    def ask(call, token=github.token):
        async def run():
            async with GitHub(github.url, "acme/infra", SecretText(token)) as client:
                return await call(client)

        # Repeats happen at once: their number is real, their waits are not.
        with stamina.set_testing(True, attempts=20, cap=True):
            try:
                return anyio.run(run)
            except GitHubError as error:
                return error

    return ask
