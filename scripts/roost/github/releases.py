"""Releases (https://docs.github.com/rest/releases)."""

from __future__ import annotations

from pydantic import Field

from roost.errors import GitHubConflictError, GitHubUnavailableError
from roost.github.calls import RepositoryCalls, may_be_there
from roost.github.models import Answer, Text


class Published(Answer):
    """A release on GitHub."""

    tag: Text = Field(default="", validation_alias="tag_name")
    url: Text = Field(default="", validation_alias="html_url")


class ReleaseCalls(RepositoryCalls):
    """Publish releases."""

    async def create_release(self, tag: str, title: str, body: str) -> Published:
        """Publish a release of a tag that exists, or return the one that the tag has.

        Raises:
            GitHubError: GitHub refuses or fails.
        """
        wanted = {"tag_name": tag, "name": title, "body": body}
        try:
            return (await self._send("POST", "releases", body=wanted)).read(Published)
        except (GitHubConflictError, GitHubUnavailableError) as error:
            if not may_be_there(error):
                raise
            return (await self._send("GET", "releases", "tags", tag)).read(Published)
