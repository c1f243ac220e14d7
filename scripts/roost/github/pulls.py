"""Pull requests (https://docs.github.com/rest/pulls)."""

from __future__ import annotations

from roost.errors import GitHubConflictError, GitHubUnavailableError
from roost.github.calls import RepositoryCalls, State, may_be_there
from roost.github.models import Pull


class PullCalls(RepositoryCalls):
    """Read and open pull requests."""

    async def pulls_of_commit(self, sha: str) -> tuple[Pull, ...]:
        """Return the pull requests that contain a commit, merged and open ones."""
        return await self._list(Pull, "commits", sha, "pulls")

    async def pull(self, number: int) -> Pull:
        """Return one pull request."""
        return (await self._send("GET", "pulls", str(number))).read(Pull)

    async def pulls(
        self, head: str = "", state: State = "open", *, base: str = ""
    ) -> tuple[Pull, ...]:
        """Return pull requests, all or those from a branch of this repository (or `OWNER:BRANCH`)."""
        owner = self.repository.partition("/")[0]
        named = head if not head or ":" in head else f"{owner}:{head}"
        params = {"state": state, "head": named, "base": base}
        return await self._list(Pull, "pulls", params=params)

    async def create_pull(self, title: str, body: str, head: str, base: str) -> Pull:
        """Open a pull request, or return the one that this branch already has open."""
        wanted = {"title": title, "body": body, "head": head, "base": base}
        try:
            return (await self._send("POST", "pulls", body=wanted)).read(Pull)
        except (GitHubConflictError, GitHubUnavailableError) as error:
            if not may_be_there(error):
                raise
            for found in await self.pulls(head, base=base):
                return found
            raise
