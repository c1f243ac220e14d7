"""Issues, their labels, and comments of issues and pull requests (https://docs.github.com/rest/issues)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from roost.errors import GitHubConflictError, GitHubNotFoundError, GitHubUnavailableError
from roost.github.calls import RepositoryCalls, State
from roost.github.models import Comment, Issue, Label, Written
from roost.http.connection import present

Reason = Literal["completed", "not_planned", "reopened"]
_WRITTEN = """query($id: ID!) {
  node(id: $id) {
    ... on IssueComment {
      body createdAt lastEditedAt author { __typename login } editor { __typename login }
    }
  }
}"""


_PIN = """mutation($id: ID!) {
  pinIssue(input: {issueId: $id}) { issue { isPinned } }
}"""


class IssueCalls(RepositoryCalls):
    """Read and write issues, labels and comments."""

    async def comments(self, number: int) -> tuple[Comment, ...]:
        """Return all comments of an issue or a pull request, the oldest first."""
        return await self._list(Comment, "issues", str(number), "comments")

    async def create_comment(self, number: int, body: str) -> Comment:
        """Write a comment.

        Raises:
            GitHubUnavailableError: `ambiguous` when it may have been written.
        """
        reply = await self._send("POST", "issues", str(number), "comments", body={"body": body})
        return reply.read(Comment)

    async def update_comment(self, comment: int, body: str) -> Comment:
        """Replace a comment's text."""
        reply = await self._send("PATCH", "issues", "comments", str(comment), body={"body": body})
        return reply.read(Comment)

    async def written(self, comment: Comment) -> Written:
        """Return a comment's current text with its author and last editor; REST has only the author.

        Raises:
            GitHubAnswerError: the answer lacks one of them.
        """
        reply = await self._query(_WRITTEN, {"id": comment.node_id})
        return reply.part("node").read(Written)

    async def issues(self, label: str, state: State = "all") -> tuple[Issue, ...]:
        """Return the issues with a label, the newest first, without pull requests."""
        params = {"labels": label, "state": state}
        found = await self._list(Issue, "issues", params=params)
        return tuple(issue for issue in found if not issue.is_pull)

    async def create_issue(self, title: str, body: str, labels: Sequence[str] = ()) -> Issue:
        """Open an issue.

        Raises:
            GitHubUnavailableError: `ambiguous` when it may have been opened.
        """
        wanted = {"title": title, "body": body, "labels": list(labels)}
        return (await self._send("POST", "issues", body=wanted)).read(Issue)

    async def update_issue(
        self,
        number: int,
        *,
        title: str | None = None,
        body: str | None = None,
        state: Literal["open", "closed"] | None = None,
        state_reason: Reason | None = None,
    ) -> Issue:
        """Change the given fields of an issue."""
        wanted = {"title": title, "body": body, "state": state, "state_reason": state_reason}
        reply = await self._send("PATCH", "issues", str(number), body=present(wanted))
        return reply.read(Issue)

    async def pin_issue(self, issue: Issue) -> None:
        """Pin an issue to the top of the list; only GraphQL can. A repository has three at most.

        Raises:
            GitHubError: the token may not, or three are pinned already.
        """
        await self._query(_PIN, {"id": issue.node_id})

    async def ensure_label(self, name: str, color: str, description: str) -> None:
        """Create a label unless it exists; an existing one keeps its color and description."""
        try:
            (await self._send("GET", "labels", name)).read(Label)
        except GitHubNotFoundError:
            wanted = {"name": name, "color": color, "description": description}
            try:
                await self._send("POST", "labels", body=wanted)
            except GitHubConflictError:
                return
            except GitHubUnavailableError as error:
                if not error.ambiguous:
                    raise
                await self._send("GET", "labels", name)
