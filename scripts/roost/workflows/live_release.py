"""Say which release a refused plan met, and which pull request brought that release."""

from __future__ import annotations

from roost.errors import GitHubError, UnapprovedError
from roost.github.actions import Runner
from roost.github.api import GitHub
from roost.operations.planning import Planned
from roost.plan.releases import Release, current, releases_on
from roost.workflows.merges import merged_pull

SHA_SHOWN = 10


async def with_live_release(
    github: GitHub, runner: Runner, planned: Planned, error: UnapprovedError
) -> UnapprovedError:
    """Return the error with a sentence about the release that is live; without one, as it was."""
    release = current(releases_on(planned.live.machines))
    if release is None:
        return error
    return UnapprovedError(
        f"{error.what} {await _sentence(github, runner, release)}",
        where=error.where,
        advice=error.advice,
    )


async def _sentence(github: GitHub, runner: Runner, release: Release) -> str:
    commit = f" of commit {release.git[:SHA_SHOWN]}" if release.git else ""
    begun = f", deployed at {release.at}" if release.at else ""
    brought = await _brought_by(github, runner, release.git)
    by = f" by pull request {brought}" if brought else ""
    return f"Release {release.number}{commit} is live{begun}{by}."


async def _brought_by(github: GitHub, runner: Runner, sha: str) -> int:
    """Return the number of the pull request of a commit; 0 if there is none, or it cannot be read."""
    if not sha:
        return 0
    try:
        pull = await merged_pull(github, runner, sha)
    except GitHubError:  # the refusal is the message; this is a detail of it
        return 0
    return pull.number if pull else 0
