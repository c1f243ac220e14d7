"""The one comment of a pull request: found, written, and brought to its end."""

from __future__ import annotations

from collections.abc import Callable

from roost.errors import GitHubUnavailableError
from roost.github.api import GitHub
from roost.github.models import ACTIONS_BOT, Comment, Pull
from roost.report.comment import is_ours


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


async def merged_pull(github: GitHub, sha: str) -> Pull | None:
    """Give the merged pull request that brought a commit to its branch; None for a plain push."""
    merged = [pull for pull in await github.pulls_of_commit(sha) if pull.merged]
    # Of a commit that several name, its own merge is the one that was approved last.
    exact = [pull for pull in merged if pull.merge_commit_sha == sha]
    return next(iter((*exact, *merged)), None)
