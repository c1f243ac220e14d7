"""Propose the change of one file by a pull request, for people to review and merge.

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
class Proposal:
    """A change of one file.

    Args:
        path: the file, from the top of the repository.
        before: the content that was changed.
        after: the new content.
        title: the title of the commit and of the pull request.
        lines: the text of the pull request, in safe Markdown.
    """

    path: str
    before: bytes
    after: bytes
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
    base = runner.ref.removeprefix("refs/heads/")
    branch = f"roost/{runner.workflow.lower().replace(' ', '-')}-{runner.run_id}"
    await push(github, branch, base, proposal)
    by = f"Requested by {code(runner.actor)} in [this run]({runner.run_url})."
    body = "\n\n".join((*proposal.lines, by))
    if opens:
        pull = await github.create_pull(proposal.title, body, branch, base)
        _report(runner, "Opened the pull request", pull.url)
        return
    page = f"{runner.server_url}/{runner.repository}/compare/{quote(base)}...{quote(branch)}"
    _report(
        runner,
        f"The branch {branch} has the change. Open its pull request",
        link_to(page, proposal.title, body),
    )


async def push(github: GitHub, branch: str, base: str, proposal: Proposal) -> None:
    """Create the branch of this run with the change in it.

    Raises:
        ChangedMeanwhileError: the file was changed on main, or on that branch.
        GitHubError: GitHub refuses or fails.
    """
    head = await github.branch_head(base)
    found = await github.file_at(proposal.path, head)
    if found is None or found.content != proposal.before:
        raise ChangedMeanwhileError(
            f"{base} has another version of it now.",
            where=proposal.path,
            advice="Run the workflow again.",
        )
    await ensure_branch(github, branch, head, proposal)
    await github.put_file(
        proposal.path, proposal.after, proposal.title, branch, blob_sha(proposal.before)
    )


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
    """Create the branch of this run, unless an earlier attempt of the run has created it.

    An attempt whose pull request was refused leaves the branch, with the commit or without it, and
    the base may have moved on since. The branch's name is unique to the run, so it is enough to
    compare the one file.

    Raises:
        ChangedMeanwhileError: the file on that branch has neither the old nor the new content.
    """
    try:
        await github.create_branch(branch, head)
    except GitHubConflictError:
        found = await github.file_at(proposal.path, branch)
        if found is None or found.content not in {proposal.before, proposal.after}:
            raise ChangedMeanwhileError(
                f"The branch {branch} has another version of it.",
                where=proposal.path,
                advice="Delete that branch, then run the failed job again.",
            ) from None


def path_in_repository(name: str) -> str:
    """Return the path of an environment file in the repository."""
    return f"environments/{name}"
