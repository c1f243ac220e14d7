"""Pull requests that a button opens: one file in another form, for people to look at and merge."""

from __future__ import annotations

from dataclasses import dataclass

from roost.errors import ChangedMeanwhileError, GitHubConflictError, UsageError
from roost.github.actions import Runner, runner_of
from roost.github.api import GitHub, blob_sha
from roost.github.models import Pull
from roost.report.markdown import code, text
from roost.verbs.context import Context

UNASKED = (
    "A workflow opened this pull request, so its checks and its plan do not run unasked. Approve its "
    "workflow runs, or close and reopen it."
)


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


async def propose(github: GitHub, runner: Runner, proposal: Proposal) -> Pull:
    """Open the pull request; the same run again finds what it did and goes on.

    Raises:
        ChangedMeanwhileError: main, or the branch of this run, has another file by now.
        GitHubError: GitHub refuses or fails.
    """
    base = runner.ref.removeprefix("refs/heads/")
    branch = f"roost/{runner.workflow.lower().replace(' ', '-')}-{runner.run_id}"
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
    by = f"Asked for by {code(runner.actor)} in [this run]({runner.run_url})."
    body = "\n\n".join((*proposal.lines, by, text(UNASKED)))
    return await github.create_pull(proposal.title, body, branch, base)


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


def need_runner(context: Context) -> Runner:
    """Give the runner of this step.

    Raises:
        UsageError: this is no run of a workflow.
    """
    runner = runner_of(context.environ)
    if runner is None:
        raise UsageError(
            "This is for a workflow of GitHub.", advice="See what it is for: roost github --help"
        )
    return runner


def path_in_repository(name: str) -> str:
    """Give where a file of the environments folder is in the repository."""
    return f"environments/{name}"
