"""Pull requests that a button proposes: one file in another form, for people to look at and merge.

A GitHub App opens the pull request where there is one. A workflow's own token opens none: what lets it
open pull requests lets it approve them, too. The branch is pushed then, and a person opens its pull
request by a link. Either way its checks start by themselves.
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
"""Characters; a longer one begins the pull request with a title and no text."""


@dataclass(frozen=True)
class Proposal:
    """A change of one file.

    Args:
        path: of the file, from the top of the repository.
        before: what the file is where the change was made.
        after: what it is to be.
        title: of the commit and of the pull request.
        lines: what the pull request says, as Markdown of our own.
    """

    path: str
    before: bytes
    after: bytes
    title: str
    lines: tuple[str, ...]


async def propose(github: GitHub, runner: Runner, proposal: Proposal, *, opens: bool) -> None:
    """Push the branch, open its pull request or link to where a person opens it, and say so.

    The same run again finds what it did and goes on.

    Args:
        github: with the token of the App, or of the job.
        runner: which the summary and the log are written for.
        proposal: what is changed.
        opens: whether the token may open pull requests.

    Raises:
        ChangedMeanwhileError: main, or the branch of this run, has another file by now.
        GitHubError: GitHub refuses or fails.
    """
    base = runner.ref.removeprefix("refs/heads/")
    branch = f"roost/{runner.workflow.lower().replace(' ', '-')}-{runner.run_id}"
    await push(github, branch, base, proposal)
    by = f"Asked for by {code(runner.actor)} in [this run]({runner.run_url})."
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
    """Have the branch of this run with the change in it.

    Raises:
        ChangedMeanwhileError: main, or that branch, has another file by now.
        GitHubError: GitHub refuses or fails.
    """
    head = await github.branch_head(base)
    found = await github.file_at(proposal.path, head)
    if found is None or found.content != proposal.before:
        raise ChangedMeanwhileError(
            f"{base} has another version of it by now.",
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
    """Have the branch of this run, where it stands now or where an earlier attempt left it.

    An attempt that was refused the pull request has left the branch, with the commit or without it,
    and the base may have moved on since. The branch's name is this run's alone, so what counts is
    the one file.

    Raises:
        ChangedMeanwhileError: the file of that branch is neither as it was nor as it is to be.
    """
    try:
        await github.create_branch(branch, head)
    except GitHubConflictError:
        found = await github.file_at(proposal.path, branch)
        if found is None or found.content not in {proposal.before, proposal.after}:
            raise ChangedMeanwhileError(
                f"The branch {branch} has another version of it by now.",
                where=proposal.path,
                advice="Delete that branch, then run the failed job again.",
            ) from None


def path_in_repository(name: str) -> str:
    """Return where a file of the environments folder is in the repository."""
    return f"environments/{name}"
