"""Why a pull request gets no plan: GitHub hands no secrets to runs of forks and of Dependabot's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roost.github.actions import Runner

PULL_REQUEST = "pull_request"
DEPENDABOT = "dependabot[bot]"
"""Who started the run counts, and not whose pull request it is: a person's push to it is a person's run."""
_NOT_DEPLOYED = "A merge without a plan deploys nothing before somebody approves it by its digest."


def no_plan(runner: Runner, environments: Sequence[str]) -> Iterator[str]:
    """Return why these environments are not planned, and how to get a plan; nothing where they are."""
    if runner.event_name != PULL_REQUEST or not environments:
        return
    checked = "The files are checked and rehearsed, and there is no plan and no comment:"
    if is_of_a_fork(runner):
        yield (
            f"{checked} GitHub hands no secrets to runs of a fork. To get a plan, push the branch to this "
            f"repository and open a pull request from there. {_NOT_DEPLOYED}"
        )
    elif runner.actor == DEPENDABOT:
        yield (
            f"{checked} GitHub hands no secrets to runs that Dependabot starts. To get a plan, close and "
            "reopen this pull request, or push a commit to its branch: then you start the run. "
            f"{_NOT_DEPLOYED}"
        )


def is_of_a_fork(runner: Runner) -> bool:
    """Return whether the pull request comes from another repository; so it does where its own is gone."""
    head: object = runner.event()
    for key in (PULL_REQUEST, "head", "repo", "full_name"):
        head = head.get(key) if isinstance(head, dict) else None
    return head != runner.repository
