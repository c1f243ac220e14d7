"""Find, write and read the one comment of a pull request, as far as it can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from roost.errors import GitHubUnavailableError
from roost.github.api import GitHub
from roost.github.models import ACTIONS_BOT, Comment, Pull
from roost.plan.approval import Approved
from roost.report.comment import Marker, Omitted, is_ours, read_marker


@dataclass(frozen=True)
class MergedPull:
    """A merged pull request with its comment, where it has one.

    Args:
        pull: the pull request.
        comment: our comment, with the text that its author and editor were read with.
        stranger: who wrote or edited that text, where that was not a workflow; else empty.
        written_at: when that text was written, in whole seconds; None without a comment.
    """

    pull: Pull
    comment: Comment | None = None
    stranger: str = ""
    written_at: datetime | None = None

    @property
    def marker(self) -> Marker | None:
        """The data in the comment; None where somebody else may have written it."""
        if self.comment is None or self.stranger:
            return None
        return read_marker(self.comment.body)

    @property
    def in_time(self) -> bool:
        """Whether the comment was written before the merge.

        GitHub's times are in whole seconds, so a text of the same second may be newer than the
        merge, and does not count. After the merge only the report edits the comment, and records
        whether this check had passed before.
        """
        marker, merged_at = self.marker, self.pull.merged_at
        if marker is None or self.written_at is None or merged_at is None:
            return False
        return marker.checked or self.written_at < merged_at

    def knows(self, environment: str) -> bool:
        """Return whether the comment is about an environment."""
        marker = self.marker
        return marker is not None and environment in {
            *marker.approved,
            *marker.omitted,
            *marker.outcomes,
        }

    def approved(self, environment: str) -> Approved | None:
        """Return what the merge approved for an environment: a plan of its last commit, in time."""
        marker = self.marker
        if marker is None or marker.head != self.pull.head_sha or not self.in_time:
            return None
        return marker.approved.get(environment)

    def objection(self, environment: str) -> str:
        """Return a sentence that says why the merge approved nothing for an environment."""
        number = self.pull.number
        if self.stranger:
            return (
                f"The comment of pull request {number} was edited by {self.stranger} after "
                "the workflow wrote it, so it approves nothing."
            )
        marker = self.marker
        if marker is None:
            return f"Pull request {number} shows no plan, so nobody can have approved this."
        if marker.head != self.pull.head_sha:
            return (
                f"Pull request {number} shows the plan of an older commit, so nobody can have "
                "approved this."
            )
        if not self.in_time or marker.omitted.get(environment) is Omitted.LATE:
            return (
                f"The comment of pull request {number} was not written before the pull request was "
                "merged, so it approves nothing."
            )
        if environment in marker.omitted:
            return (
                f"The plan of {environment} was too long for the comment of pull request {number}, "
                "so merging did not approve it."
            )
        return (
            f"The plan of pull request {number} is not about this environment, or could "
            "not be applied."
        )


async def read_merged_pull(github: GitHub, pull: Pull) -> MergedPull:
    """Read a pull request's comment with its last editor; an edit does not change its author.

    Raises:
        GitHubError: the comment or its editor cannot be read.
    """
    comment = await find_comment(github, pull.number)
    if comment is None:
        return MergedPull(pull)
    # One answer has the text, its author and its time, so no edit can come between them.
    written = await github.written(comment)
    as_written = comment.model_copy(update={"body": written.body})
    return MergedPull(pull, as_written, written.stranger, written.at)


async def find_comment(github: GitHub, number: int) -> Comment | None:
    """Return our comment on a pull request, by its author and marker; None without one."""
    for comment in await github.comments(number):
        if comment.author == ACTIONS_BOT and is_ours(comment.body):
            return comment
    return None


async def write_comment(github: GitHub, number: int, write: Callable[[str], str]) -> Comment:
    """Create or update the comment; `write` makes the new text from the old, empty for none.

    Raises:
        GitHubError: it could not be written; a second comment is never created.
    """
    found = await find_comment(github, number)
    body = write(found.body if found else "")
    if found is None:
        try:
            return await github.create_comment(number, body)
        except GitHubUnavailableError as error:
            found = await find_comment(github, number) if error.ambiguous else None
            if found is None:
                raise
    if found.body == body:
        return found
    return await github.update_comment(found.id, body)
