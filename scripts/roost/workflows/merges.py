"""Which merged pull requests brought a commit to its branch, one or those of a whole merge queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio

from roost.errors import GitHubNotFoundError
from roost.github.actions import Runner
from roost.github.api import GitHub
from roost.github.models import Pull
from roost.workflows.base_checkout import NOTHING

PUSH = "push"
LAG_S = (1.0, 2.0, 4.0)
"""GitHub knows a commit before it knows which pull request that is from; so long is waited for it."""
MOST_COMMITS = 100
"""A queue merges at most so many pull requests at once."""
WEB_FLOW = "web-flow"
"""Who makes the commits of GitHub's own buttons and queues."""


async def merged_pull(github: GitHub, runner: Runner, sha: str) -> Pull | None:
    """Return the pull request that brought a commit to the branch of this run; None for a plain push."""
    branch = branch_of(runner)
    found = await github.pulls_of_commit(sha)
    merged = [pull for pull in found if pull.merged and pull.base_ref == branch]
    # Of a commit that several name, its own merge is the one that was approved last.
    exact = [pull for pull in merged if pull.merge_commit_sha == sha]
    return next(iter((*exact, *merged)), None)


async def newest_pull(github: GitHub, runner: Runner) -> Pull | None:
    """Return the pull request of this run's commit; asked again where GitHub may not know it yet."""
    found = await merged_pull(github, runner, runner.sha)
    for wait_s in LAG_S:
        if found is not None or not made_by_github(runner):
            break
        await anyio.sleep(wait_s)
        found = await merged_pull(github, runner, runner.sha)
    return found


async def pulls_of_push(github: GitHub, runner: Runner, newest: Pull) -> AsyncIterator[Pull]:
    """Return the pull requests of this run's push, the newest first; a queue merges several at once.

    The newest is known; only who wants more than that makes GitHub look for them.
    """
    yield newest
    known = {newest.number}
    for sha in await _earlier_commits(github, runner):
        pull = await merged_pull(github, runner, sha)
        if pull is not None and pull.number not in known:
            known.add(pull.number)
            yield pull


def made_by_github(runner: Runner) -> bool:
    """Return whether GitHub itself made the commit that was pushed, as it does where it merges."""
    commit = _pushed(runner).get("head_commit")
    committer = commit.get("committer") if isinstance(commit, dict) else None
    return isinstance(committer, dict) and committer.get("username") == WEB_FLOW


def branch_of(runner: Runner) -> str:
    """Return the branch that a run is about."""
    return runner.ref.removeprefix("refs/heads/")


async def _earlier_commits(github: GitHub, runner: Runner) -> tuple[str, ...]:
    """Return the other commits by which the push brought the branch to where it is."""
    before = _pushed(runner).get("before")
    if not isinstance(before, str) or before in {"", NOTHING}:
        return ()
    try:
        line = await github.line(before, runner.sha)
    except GitHubNotFoundError:  # a branch that was forced elsewhere, or has nothing in common
        return ()
    return line[1:MOST_COMMITS]


def _pushed(runner: Runner) -> dict[str, Any]:
    """Return the push that started this run; nothing where something else did."""
    return dict(runner.event()) if runner.event_name == PUSH else {}
