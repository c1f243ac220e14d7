"""Find the merged pull requests of a commit, or those of a push, which a merge queue may combine."""

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
"""Waits between attempts: GitHub knows a commit seconds before it knows its pull request."""
MOST_COMMITS = 100
"""A queue merges at most this many pull requests at once."""
WEB_FLOW = "web-flow"
"""The committer of GitHub's own merges, by button or queue."""


async def merged_pull(github: GitHub, runner: Runner, sha: str) -> Pull | None:
    """Return the merged pull request of a commit of this run's branch; None for a plain push."""
    branch = branch_of(runner)
    found = await github.pulls_of_commit(sha)
    merged = [pull for pull in found if pull.merged and pull.base_ref == branch]
    # Where several contain the commit, the one that it is the merge of was approved last.
    exact = [pull for pull in merged if pull.merge_commit_sha == sha]
    return next(iter((*exact, *merged)), None)


async def newest_pull(github: GitHub, runner: Runner) -> Pull | None:
    """Return the pull request of this run's commit, after waiting until GitHub knows it."""
    found = await merged_pull(github, runner, runner.sha)
    for wait_s in LAG_S:
        if found is not None or not made_by_github(runner):
            break
        await anyio.sleep(wait_s)
        found = await merged_pull(github, runner, runner.sha)
    return found


async def pulls_of_push(github: GitHub, runner: Runner, newest: Pull) -> AsyncIterator[Pull]:
    """Return the pull requests of this run's push, the newest first; a queue merges several at once.

    GitHub is asked for the others only when the caller goes on after the newest.
    """
    yield newest
    known = {newest.number}
    for sha in await _earlier_commits(github, runner):
        pull = await merged_pull(github, runner, sha)
        if pull is not None and pull.number not in known:
            known.add(pull.number)
            yield pull


def made_by_github(runner: Runner) -> bool:
    """Return whether GitHub made the pushed commit, as it does when it merges."""
    commit = _pushed(runner).get("head_commit")
    committer = commit.get("committer") if isinstance(commit, dict) else None
    return isinstance(committer, dict) and committer.get("username") == WEB_FLOW


def branch_of(runner: Runner) -> str:
    """Return the branch of a run."""
    return runner.ref.removeprefix("refs/heads/")


async def _earlier_commits(github: GitHub, runner: Runner) -> tuple[str, ...]:
    """Return the commits of the push before its last one, the newest first."""
    before = _pushed(runner).get("before")
    if not isinstance(before, str) or before in {"", NOTHING}:
        return ()
    try:
        line = await github.line(before, runner.sha)
    except GitHubNotFoundError:  # a forced push, or a branch without a common commit
        return ()
    return line[1:MOST_COMMITS]


def _pushed(runner: Runner) -> dict[str, Any]:
    """Return the event of a push; empty for other events."""
    return dict(runner.event()) if runner.event_name == PUSH else {}
