"""Check that a plan was approved: by the merge of a pull request that shows it, or by its digest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from roost.environment.flow_units import split_name
from roost.errors import GitHubError, NotPlannedError, NotProvedError, UnapprovedError
from roost.github.actions import Runner
from roost.github.api import GitHub
from roost.github.models import Pull
from roost.operations.planning import Planned
from roost.plan.approval import Need, is_sealed, needs
from roost.plan.document import canonical, plan_digest, plan_document
from roost.plan.document_reader import read_plan
from roost.plan.prefect_objects import unreviewed_object_values
from roost.plan.secrets import unreviewed_values
from roost.plan.steps import Plan, SetSecrets
from roost.report.outcome import DeployOutcome, Result
from roost.report.visible import Visible
from roost.workflows.merges import PUSH, branch_of, newest_pull, pulls_of_push
from roost.workflows.pr_comment import MergedPull, read_merged_pull

MOST_OBJECTIONS = 5


def check_digest(plan: Plan, digest: str) -> None:
    """Check that a plan has the digest that somebody approved.

    Raises:
        UnapprovedError: it has another one.
    """
    if digest != plan_digest(plan):
        raise UnapprovedError(
            "The plan no longer has that digest.",
            where=plan.environment,
            advice=by_hand(plan),
        )


async def check_merged(github: GitHub, runner: Runner, plan: Plan, *, strict: bool) -> str:
    """Check that a merged pull request approved a plan.

    Returns:
        A note for a push without a pull request, which an unprotected environment allows; else empty.

    Raises:
        NotPlannedError: no pull request was merged, or it showed no plan of this environment.
        UnapprovedError: the plan has a step that was not approved.
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
            f"The commit at the head of {branch_of(runner)} came without a pull request, so this "
            "deploy needs the digest of the plan.",
            where=plan.environment,
            advice=by_hand(plan),
        )
    return "It came without a pull request: the person who pushed it approved it."


async def check_shown(github: GitHub, runner: Runner, newest: Pull, plan: Plan) -> None:
    """Check that the pull requests of a push showed every step of a plan when they were merged.

    Each step needs a pull request whose comment has its seal and shows it. The newest one is read
    first, and often no other is needed.

    Raises:
        NotPlannedError: none showed a plan of its last commit for this environment.
        UnapprovedError: they did not show all of these steps.
    """
    name, objections = plan.environment, []
    approving: list[MergedPull] = []
    async for merged in _merged_pulls(github, runner, newest, plan):
        if merged.approved(name) is None:
            objections.append(merged.objection(name))
            continue
        approving.append(merged)
        if not _left(plan, approving):
            return
    if not approving:
        message = " ".join(objections[:MOST_OBJECTIONS])
        raise NotPlannedError(message, where=name, advice=by_hand(plan))
    message = " ".join(_objections(_left(plan, approving), approving))
    raise UnapprovedError(message, where=name, advice=by_hand(plan))


def check_values(runner: Runner, planned: Planned) -> None:
    """Refuse to change the values of a protected environment's secrets in a run that a push started.

    Everybody with write access can overwrite the secrets of GitHub's environments by its API, and no
    comment shows a value. So a push may set only values that the last apply set, and values of a
    SOPS file, which came by a pull request.

    Raises:
        UnapprovedError: a value from a variable differs from the one that the last apply set.
    """
    if runner.event_name != PUSH:  # of who starts one by hand, a role or an approval is required
        return
    to_set = [n for step in planned.plan.steps if isinstance(step, SetSecrets) for n in step.names]
    found = unreviewed_values(planned.desired, planned.live, planned.values.found, to_set)
    found += unreviewed_object_values(planned.desired, planned.live)
    if not found:
        return
    name = planned.file.name
    raise UnapprovedError(
        " ".join(
            f"secret/{secret}: its value in GitHub is not the one that the last apply set, and "
            "nobody reviewed that."
            for secret in found
        ),
        where=name,
        advice=(
            "Nothing was changed. If the value is right, have somebody with the role maintain or admin "
            f"run the workflow Secrets for {split_name(name)[0]}, or, where more changes, the deploy workflow "
            f"with the digest {plan_digest(planned.plan)}. Then run the failed job again."
        ),
    )


def check_proved(plan: Plan, others: dict[str, DeployOutcome | None]) -> None:
    """Check that the environments before a protected one have proved the same change.

    Args:
        plan: the plan of the protected one.
        others: the outcome of each other environment in this run; None where it is unknown.

    Raises:
        NotProvedError: one of them was left to a newer commit, or has no known outcome.
    """
    missing = [n for n, o in sorted(others.items()) if o is None or o.outcome is Result.SUPERSEDED]
    if missing:
        names = _joined(missing)
        raise NotProvedError(
            f"The change was not proved in this run: {names} was left to a newer commit, or its outcome "
            "is not known.",
            where=plan.environment,
            advice=(
                f"Nothing was changed. Wait until {names} is proved. Then read the plan in this run's "
                f"summary; if it is right, run the deploy workflow for {plan.environment} with the "
                f"digest {plan_digest(plan)}."
            ),
        )


def by_hand(plan: Plan) -> str:
    """Return the next step: read the plan, and approve it by its digest."""
    return (
        "Nothing was changed. Read the plan in this run's summary; if it is right, run the deploy "
        f"workflow for {split_name(plan.environment)[0]} with the digest {plan_digest(plan)}."
    )


async def _merged_pulls(
    github: GitHub, runner: Runner, newest: Pull, plan: Plan
) -> AsyncIterator[MergedPull]:
    async for pull in pulls_of_push(github, runner, newest):
        try:
            yield await read_merged_pull(github, pull)
        except GitHubError as error:
            raise NotPlannedError(
                f"The author of the comment of pull request {pull.number} could not be read, so it approves "
                f"nothing ({error.what.rstrip('.')}).",
                where=plan.environment,
                advice=f"Run the failed job again. {by_hand(plan)}",
            ) from error


@dataclass(frozen=True)
class _Left:
    """A part of a plan that no merge approved.

    Args:
        text: the part, in words.
        hidden: the pull request whose comment has its seal but does not show it; None without one.
    """

    text: str
    hidden: int | None


def _left(plan: Plan, merged_pulls: list[MergedPull]) -> list[_Left]:
    """Find the parts of a plan that no comment both has the seal of and shows."""
    read, _, _ = read_plan(json.loads(canonical(plan_document(plan))), plan.environment)
    bodies = {t.pull.number: t.comment.body for t in merged_pulls if t.comment}
    seen = {number: Visible.of(body) for number, body in bodies.items()}
    found = []
    for need in needs(plan):
        sealed = [t.pull.number for t in merged_pulls if _is_sealed(need, plan, t)]
        if not any(number in seen and seen[number].shows(need, read) for number in sealed):
            found.append(_Left(need.text, sealed[0] if sealed else None))
    return found


def _is_sealed(need: Need, plan: Plan, merged: MergedPull) -> bool:
    approved = merged.approved(plan.environment)
    return approved is not None and is_sealed(need, plan, approved, merged.pull.url)


def _objections(left: list[_Left], merged_pulls: list[MergedPull]) -> Iterator[str]:
    """Return sentences about what was not approved, and about comments that hide what they approve."""
    numbers = sorted(merged.pull.number for merged in merged_pulls)
    if other := [item.text for item in left if item.hidden is None]:
        noun = "pull request" if len(numbers) == 1 else "pull requests"
        yield (
            f"What was approved in {noun} {_joined(map(str, numbers))} is not what would be done "
            f"now: {'; '.join(other)}."
        )
    for number in numbers:
        if hidden := [item.text for item in left if item.hidden == number]:
            yield (
                f"{'; '.join(hidden)}: the comment of pull request {number} does not show it as the "
                "workflow writes it; somebody may have rewritten it."
            )


def _joined(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
