"""Propose a change of files by a pull request, for people to review and merge.

A GitHub App opens the pull request where one is set up. A workflow's own token does not, because the
setting that lets it open pull requests also lets it approve them. Without an App the branch is pushed,
and a person opens its pull request by a link. Either way its checks start by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from roost.errors import ChangedMeanwhileError, GitHubConflictError
from roost.github.actions import Runner
from roost.github.api import GitHub
from roost.github.contents import blob_sha
from roost.report.markdown import code

LONGEST_LINK = 4000
"""Characters; a longer link opens the pull request with a title and without a text."""


@dataclass(frozen=True)
class FileChange:
    """A change of one file.

    Args:
        path: the file, from the top of the repository.
        before: the content that was changed; None for a new file.
        after: the new content.
    """

    path: str
    before: bytes | None
    after: bytes


@dataclass(frozen=True)
class Proposal:
    """A change of some files; each becomes a commit of its own, as the API of contents makes them.

    Args:
        changes: the files.
        title: the title of the commits and of the pull request.
        lines: the text of the pull request, in safe Markdown.
    """

    changes: tuple[FileChange, ...]
    title: str
    lines: tuple[str, ...]


async def propose(github: GitHub, runner: Runner, proposal: Proposal, *, opens: bool) -> None:
    """Push the branch, open its pull request or print a link for opening it.

    A run that is started again finds what it did before, and goes on.

    Args:
        github: the API, with the token of the App or of the job.
        runner: the runner whose summary and log are written.
        proposal: the change.
        opens: whether the token may open pull requests.

    Raises:
        ChangedMeanwhileError: the file was changed on main, or on the branch of this run.
        GitHubError: GitHub refuses or fails.
    """
    base = base_of(runner)
    branch = f"roost/{runner.workflow.lower().replace(' ', '-')}-{runner.run_id}"
    await push(github, branch, base, proposal)
    body = body_of(runner, proposal)
    if opens:
        pull = await github.create_pull(proposal.title, body, branch, base)
        _report(runner, "Opened the pull request", pull.url)
        return
    _report(
        runner,
        f"The branch {branch} has the change. Open its pull request",
        link_of(runner, branch, proposal),
    )


def base_of(runner: Runner) -> str:
    """Return the branch that this run is of."""
    return runner.ref.removeprefix("refs/heads/")


def body_of(runner: Runner, proposal: Proposal) -> str:
    """Return the text of a pull request, with the run that proposes it."""
    by = f"Requested by {code(runner.actor)} in [this run]({runner.run_url})."
    return "\n\n".join((*proposal.lines, by))


def link_of(runner: Runner, branch: str, proposal: Proposal) -> str:
    """Return the address at which a person opens the pull request of a branch."""
    compared = f"{quote(base_of(runner))}...{quote(branch)}"
    page = f"{runner.server_url}/{runner.repository}/compare/{compared}"
    return link_to(page, proposal.title, body_of(runner, proposal))


async def push(github: GitHub, branch: str, base: str, proposal: Proposal) -> None:
    """Create the branch with the changes in it.

    Raises:
        ChangedMeanwhileError: a file was changed on main, or on that branch.
        GitHubError: GitHub refuses or fails.
    """
    head = await github.branch_head(base)
    for change in proposal.changes:
        if await content_at(github, change.path, head) != change.before:
            raise ChangedMeanwhileError(
                f"{base} has another version of it now.",
                where=change.path,
                advice="Run the workflow again.",
            )
    await ensure_branch(github, branch, head, proposal)
    for change in proposal.changes:
        replaced = None if change.before is None else blob_sha(change.before)
        await github.put_file(change.path, change.after, proposal.title, branch, replaced)


async def content_at(github: GitHub, path: str, ref: str) -> bytes | None:
    """Return the content of a file at a branch or commit; None where it has no such file."""
    found = await github.file_at(path, ref)
    return found.content if found else None


def link_to(page: str, title: str, body: str) -> str:
    """Return the address at which a person opens the pull request with one click.

    Parameters: https://docs.github.com/pull-requests, "Using query parameters to create a pull request".
    """
    begun = {"quick_pull": "1", "title": title}
    whole = f"{page}?{urlencode({**begun, 'body': body}, quote_via=quote, safe='')}"
    return (
        whole
        if len(whole) <= LONGEST_LINK
        else f"{page}?{urlencode(begun, quote_via=quote, safe='')}"
    )


def _report(runner: Runner, what: str, url: str) -> None:
    """Report what was done, on the page of the run and in its log."""
    runner.summary(f"[{what}]({url})")
    runner.say(f"{what}: {url}")


async def ensure_branch(github: GitHub, branch: str, head: str, proposal: Proposal) -> None:
    """Create the branch, unless an earlier attempt has created it.

    An attempt whose pull request was refused leaves the branch, with the commits or without them, and
    the base may have moved on since. The branch's name is unique to the change, so it is enough to
    compare its files.

    Raises:
        ChangedMeanwhileError: a file on that branch has neither the old nor the new content.
    """
    try:
        await github.create_branch(branch, head)
    except GitHubConflictError:
        for change in proposal.changes:
            found = await content_at(github, change.path, branch)
            if found not in {change.before, change.after}:
                raise ChangedMeanwhileError(
                    f"The branch {branch} has another version of it.",
                    where=change.path,
                    advice="Delete that branch, then run the failed job again.",
                ) from None


def path_in_repository(name: str) -> str:
    """Return the path of an environment file in the repository."""
    return f"environments/{name}"
