"""The one comment of a pull request: found, written, and read as far as it can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roost.errors import GitHubUnavailableError
from roost.github.api import GitHub
from roost.github.models import ACTIONS_BOT, Comment, Pull
from roost.plan.approval import Approved
from roost.report.comment import Marker, is_ours, read_marker


@dataclass(frozen=True)
class Thread:
    """A merged pull request, and its comment as far as there is one.

    Args:
        pull: the pull request.
        comment: ours, with the text that it had when it was asked who wrote that.
        stranger: who else than a workflow wrote that text; empty where nobody did.
    """

    pull: Pull
    comment: Comment | None = None
    stranger: str = ""

    @property
    def marker(self) -> Marker | None:
        """Give what the comment remembers; nothing where somebody else may have written it."""
        if self.comment is None or self.stranger:
            return None
        return read_marker(self.comment.body)

    def knows(self, environment: str) -> bool:
        """Say whether the comment is about an environment."""
        marker = self.marker
        return marker is not None and environment in {*marker.approved, *marker.outcomes}

    def approved(self, environment: str) -> Approved | None:
        """Give what the merge approved of an environment: only what was planned of its last commit."""
        marker = self.marker
        if marker is None or marker.head != self.pull.head_sha:
            return None
        return marker.approved.get(environment)

    @property
    def objection(self) -> str:
        """Say in a sentence why it approves nothing of an environment that it does not approve."""
        if self.stranger:
            return (
                f"The comment of pull request {self.pull.number} was edited by {self.stranger} after "
                "the workflow wrote it, so it approves nothing."
            )
        shows = f"Pull request {self.pull.number} shows"
        marker = self.marker
        if marker is None:
            return f"{shows} no plan, so nobody can have approved this."
        if marker.head != self.pull.head_sha:
            return f"{shows} the plan of an older commit, so nobody can have approved this."
        return (
            f"The plan of pull request {self.pull.number} is not about this environment, or could "
            "not be applied."
        )


async def read_thread(github: GitHub, pull: Pull) -> Thread:
    """Read a pull request's comment, and who edited it: its author stays the bot whoever does.

    Raises:
        GitHubError: GitHub does not say who.
    """
    comment = await find_comment(github, pull.number)
    if comment is None:
        return Thread(pull)
    # The text and its author in one answer: nobody can edit between them.
    written = await github.written(comment)
    return Thread(pull, comment.model_copy(update={"body": written.body}), written.stranger)


async def find_comment(github: GitHub, number: int) -> Comment | None:
    """Give our comment on a pull request; what others wrote in its form is not it."""
    for comment in await github.comments(number):
        if comment.author == ACTIONS_BOT and is_ours(comment.body):
            return comment
    return None


async def write_comment(github: GitHub, number: int, write: Callable[[str], str]) -> Comment:
    """Write the comment anew from what it is now, empty where there is none.

    Raises:
        GitHubError: it could not be written. Twice it never is.
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
