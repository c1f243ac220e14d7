"""Whether somebody approved a plan: by merging a pull request that shows it, or by its digest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from roost.errors import GitHubError, NotPlannedError, NotProvedError, UnapprovedError
from roost.github.actions import Runner
from roost.github.api import GitHub
from roost.github.models import Pull
from roost.plan.approval import Need, is_sealed, needs
from roost.plan.document import canonical, plan_digest, plan_document
from roost.plan.document_reader import read_plan
from roost.plan.steps import Plan
from roost.report.outcome import DeployOutcome, Result
from roost.report.visible import Visible
from roost.workflows.merges import PUSH, branch_of, newest_pull, pulls_of_push
from roost.workflows.pr_comment import Thread, read_thread

MOST_OBJECTIONS = 5


def check_digest(plan: Plan, digest: str) -> None:
    """Hold a plan to the digest that somebody approved.

    Raises:
        UnapprovedError: it is another plan.
    """
    if digest != plan_digest(plan):
        raise UnapprovedError(
            "The plan is not the one with that digest any more.",
            where=plan.environment,
            advice=by_hand(plan),
        )


async def check_merged(github: GitHub, runner: Runner, plan: Plan, *, strict: bool) -> str:
    """Hold a plan to what was merged; return what is to be said where nothing was, and may be so.

    Raises:
        NotPlannedError: nobody was shown a plan of this, or nobody merged one.
        UnapprovedError: a step is new, or another one.
    """
    pull = await newest_pull(github, runner)
    if pull is not None:
        await check_shown(github, runner, pull, plan)
        return ""
    if strict:
        raise NotPlannedError(
            f"{plan.environment} is protected, and this commit came without a pull request.",
            where=plan.environment,
            advice=by_hand(plan),
        )
    if runner.event_name != PUSH:
        raise NotPlannedError(
            f"The commit that {branch_of(runner)} stands at came without a pull request, so this "
            "deploy needs the digest of the plan.",
            where=plan.environment,
            advice=by_hand(plan),
        )
    return "It came without a pull request: whoever pushed it approved it."


async def check_shown(github: GitHub, runner: Runner, newest: Pull, plan: Plan) -> None:
    """Hold a plan to what the pull requests of a push showed when they were merged.

    Each step needs one of them that has its seal and shows it. The newest is looked at first, and mostly the only one.

    Raises:
        NotPlannedError: none showed a plan of its last commit for this environment.
        UnapprovedError: they did not show all of these steps.
    """
    name, objections = plan.environment, []
    approving: list[Thread] = []
    async for thread in _threads(github, runner, newest, plan):
        if thread.approved(name) is None:
            objections.append(thread.objection(name))
            continue
        approving.append(thread)
        if not _left(plan, approving):
            return
    if not approving:
        said = " ".join(objections[:MOST_OBJECTIONS])
        raise NotPlannedError(said, where=name, advice=by_hand(plan))
    said = " ".join(_objections(_left(plan, approving), approving))
    raise UnapprovedError(said, where=name, advice=by_hand(plan))


def check_proved(plan: Plan, others: dict[str, DeployOutcome | None]) -> None:
    """See that the environments that come before a protected one have proved the same change.

    Args:
        plan: of the protected one.
        others: by environment, what came of it in this run; None where nothing is told.

    Raises:
        NotProvedError: one of them was left to a newer commit, or nobody knows what came of it.
    """
    missing = [n for n, o in sorted(others.items()) if o is None or o.outcome is Result.SUPERSEDED]
    if missing:
        names = _joined(missing)
        raise NotProvedError(
            f"The change was not proved here: a newer commit changes {names} as well, or what came "
            "of it in this run is not known.",
            where=plan.environment,
            advice=(
                f"Nothing was changed. Wait until {names} is proved. Then read the plan in this run's "
                f"summary; if it is right, run the deploy workflow for {plan.environment} with the "
                f"digest {plan_digest(plan)}."
            ),
        )


def by_hand(plan: Plan) -> str:
    """Return how to go on: look, and approve what is seen."""
    return (
        "Nothing was changed. Read the plan in this run's summary; if it is right, run the deploy "
        f"workflow for {plan.environment} with the digest {plan_digest(plan)}."
    )


async def _threads(
    github: GitHub, runner: Runner, newest: Pull, plan: Plan
) -> AsyncIterator[Thread]:
    async for pull in pulls_of_push(github, runner, newest):
        try:
            yield await read_thread(github, pull)
        except GitHubError as error:
            raise NotPlannedError(
                f"Who wrote the comment of pull request {pull.number} cannot be told, so it approves "
                f"nothing ({error.what.rstrip('.')}).",
                where=plan.environment,
                advice=f"Run the failed job again. {by_hand(plan)}",
            ) from error


@dataclass(frozen=True)
class _Left:
    """What no merge approved of a plan.

    Args:
        told: in words.
        hidden: the pull request whose comment has its seal and does not show it; None without one.
    """

    told: str
    hidden: int | None


def _left(plan: Plan, threads: list[Thread]) -> list[_Left]:
    """Find what a plan needs and no merge approved: each needs a comment that has and shows it."""
    read, _, _ = read_plan(json.loads(canonical(plan_document(plan))), plan.environment)
    bodies = {t.pull.number: t.comment.body for t in threads if t.comment}
    seen = {number: Visible.of(body) for number, body in bodies.items()}
    found = []
    for need in needs(plan):
        sealed = [t.pull.number for t in threads if _is_sealed(need, plan, t)]
        if not any(number in seen and seen[number].shows(need, read) for number in sealed):
            found.append(_Left(need.text, sealed[0] if sealed else None))
    return found


def _is_sealed(need: Need, plan: Plan, thread: Thread) -> bool:
    approved = thread.approved(plan.environment)
    return approved is not None and is_sealed(need, plan, approved, thread.pull.url)


def _objections(left: list[_Left], threads: list[Thread]) -> Iterator[str]:
    """Return what was not approved, and what may have been by a comment that hides it."""
    numbers = sorted(thread.pull.number for thread in threads)
    if other := [item.told for item in left if item.hidden is None]:
        noun = "pull request" if len(numbers) == 1 else "pull requests"
        yield (
            f"What was approved in {noun} {_joined(map(str, numbers))} is not what would be done "
            f"now: {'; '.join(other)}."
        )
    for number in numbers:
        if hidden := [item.told for item in left if item.hidden == number]:
            yield (
                f"{'; '.join(hidden)}: the comment of pull request {number} does not show it as the "
                "workflow writes it; somebody may have rewritten it."
            )


def _joined(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
