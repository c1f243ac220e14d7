"""`roost github deploy`: apply only what was approved, on a push to main or by hand.

A plan is approved by a merged pull request whose comment shows it, or by its digest, which somebody
types after reading the plan. As with every apply, the gate decides whether the server is healthy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from roost.apply.objects_step import only_objects
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.units import to_apply, units
from roost.errors import (
    ExitCode,
    RoostError,
    SupersededError,
    UnapprovedError,
)
from roost.errors.command import Command
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.operations.applying import apply_planned, moment, settle
from roost.operations.artifacts import read_documents, write_document
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.lease_owner import lease_description
from roost.operations.needed_secrets import check_all_values
from roost.operations.planning import Planned, make_plan
from roost.plan.document import plan_digest
from roost.plan.restore import restoring
from roost.report.comment import outcome_section
from roost.report.outcome import DeployOutcome, Result, read_outcome, result_of
from roost.report.plan_section import WHOLE, PlannedEnvironment, plan_section
from roost.report.text import plan_report
from roost.workflows.approval import check_digest, check_merged, check_proved, check_values
from roost.workflows.artifact_hashes import OPEN, named
from roost.workflows.job import need_runner
from roost.workflows.live_release import with_live_release
from roost.workflows.superseded import check_newest


@dataclass(frozen=True)
class Request:
    """An environment to deploy, and the kind of approval.

    Args:
        name: the environment.
        digest: the digest of a plan that somebody approved by hand; empty for approval by a merge.
        strict: refuse a push without a pull request, as for protected environments.
        after: the folder with the outcomes of the environments that are deployed before; or None.
    """

    name: str
    digest: str = ""
    strict: bool = False
    after: Path | None = None


async def deploy(context: Context, request: Request, *, results: Path | None) -> ExitCode:
    """Deploy one environment, and report the outcome to the run and to the job Report.

    Raises:
        UsageError: this is no run of a workflow.
        RoostError: the deploy failed; its outcome is written before.
    """
    runner = need_runner(context)
    attempt = Attempt(context, request, runner)
    try:
        await attempt.run()
    except SupersededError as error:
        context.out.print(f"{request.name} is superseded: {error}", markup=False, soft_wrap=True)
        attempt.end(Result.SUPERSEDED, error)
    except RoostError as error:
        attempt.end(result_of(error), error)
        raise
    finally:
        if attempt.outcome and results:
            write_document(results, request.name, attempt.outcome.document())
    return ExitCode.DONE


@dataclass
class Attempt:
    """One deploy, and what is known about it so far."""

    context: Context
    request: Request
    runner: Runner
    plans: list[Planned] = field(default_factory=list)
    """The plan of the server, and then of what stands beside it."""
    left: list[Planned] = field(default_factory=list)
    """Plans that somebody who approved another one by its digest did not approve."""
    applied: list[Planned] = field(default_factory=list)
    url: str = ""
    unproved: bool = False
    outcome: DeployOutcome | None = None

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    async def run(self) -> None:
        """Check that the commit is the newest and every plan approved; then apply, prove and report.

        Nothing is applied before every plan of the environment was checked.
        """
        file = load_environment(self.request.name, self.context.environments)
        async with (
            github_of(self.context.environ) as github,
            connect(self.context, local=False) as target,
        ):
            await check_newest(self.context, github, self.runner, file)
            for unit in units(file):
                await self.plan(unit, target)
            approved = [p for p in self.plans if await self.is_approved(github, p)]
            check_all_values(target, approved)
            order = [unit.name for unit in to_apply(file)]
            for planned in sorted(approved, key=lambda p: order.index(p.file.name)):
                if planned.plan.steps:
                    await self.check_newest(github, file)
                await self.apply(target, planned)
                if planned.file.beside is None:
                    public = file.environment.access.public
                    self.url = await target.app_url(file.environment.app, public=public)
        self.end(Result.DEPLOYED if self.applied else Result.UNCHANGED)

    async def is_approved(self, github: GitHub, planned: Planned) -> bool:
        """Return whether to apply a plan; a digest approves one of several plans, and leaves the others.

        Raises:
            RoostError: see `check_approved`.
        """
        if not planned.plan.steps:
            return True
        changing = [plan_digest(p.plan) for p in self.plans if p.plan.steps]
        if self.request.digest in changing and plan_digest(planned.plan) != self.request.digest:
            self.left.append(planned)
            message = f"{planned.file.name} has a plan with another digest, and stays as it is."
            self.context.progress.print(message, markup=False, soft_wrap=True)
            return False
        await self.check_approved(github, planned)
        return True

    async def check_newest(self, github: GitHub, file: EnvironmentFile) -> None:
        """Check again before an apply: a newer commit may have been pushed while others took time.

        Raises:
            SupersededError: a newer commit changes the environment.
        """
        try:
            await check_newest(self.context, github, self.runner, file)
        except SupersededError as error:
            if not self.applied:
                raise
            advice = "The run of that commit deploys what is left."
            raise SupersededError(error.what, where=error.where, advice=advice) from None

    async def apply(self, target: Target, planned: Planned) -> None:
        """Apply and prove one plan."""
        self.context.progress.print(plan_report(planned.plan, planned.cost))
        doing = lease_description("github deploy", self.context.environ)
        checks = await apply_planned(self.context, target, planned, doing)
        if planned.plan.steps:
            self.applied.append(planned)
            self.unproved |= not checks and not only_objects(planned.plan)

    async def plan(self, file: EnvironmentFile, target: Target) -> Planned:
        """Make the plan; finish an interrupted restore first, as every apply does."""
        planned = await make_plan(self.context, file, target)
        self.plans.append(planned)
        if restoring(planned.desired, planned.live):
            await settle(self.context, target, planned)
            planned = await make_plan(self.context, file, target)
            self.plans[-1] = planned
        return planned

    async def check_approved(self, github: GitHub, planned: Planned) -> None:
        """Check that every step was approved.

        Raises:
            UnapprovedError: a step, or the value of a secret, was not approved.
            NotPlannedError: no pull request showed a plan.
            NotProvedError: an environment before this one did not prove the change.
        """
        if self.request.digest:
            try:
                check_digest(planned.plan, self.request.digest)
            except UnapprovedError as error:
                raise await with_live_release(github, self.runner, planned, error) from None
            return
        if self.request.after:
            check_proved(planned.plan, outcomes_before(self.context, self.request.after))
        strict = self.request.strict or planned.file.environment.protected
        try:
            note = await check_merged(github, self.runner, planned.plan, strict=strict)
        except UnapprovedError as error:
            raise await with_live_release(github, self.runner, planned, error) from None
        if strict:
            check_values(self.runner, planned)
        if note:
            self.context.progress.print(note)

    def end(self, result: Result, error: RoostError | None = None) -> None:
        """Set the outcome, and write it to the run's outputs and page."""
        self.outcome = DeployOutcome(
            environment=self.request.name,
            app=self.plans[0].desired.app if self.plans else "",
            outcome=result,
            word=error.word if error else "",
            message=self._message(error),
            url=self.url,
            digest=self._digest(error),
            seconds=round(time.monotonic() - self._began, 1),
            run_url=self.runner.run_url,
            at=moment(),
            unproved=self.unproved,
            left=tuple(planned.file.name for planned in self.left),
        )
        self.runner.output("outcome", result.value)
        self.runner.output("url", self.url)
        rest = f"`{Command('plan', self.request.name, '--json').typed}` shows the whole plan."
        self.runner.summary("\n".join(self._summary(self.outcome)), rest=rest)

    def _message(self, error: RoostError | None) -> str:
        """Return what went wrong or was left, after what was deployed before that."""
        if error is None:
            return " ".join(
                f"{planned.file.name} stays as it is: to deploy it too, read its plan, and run the "
                f"deploy workflow with the digest {plan_digest(planned.plan)}."
                for planned in self.left
            )
        done = ", ".join(planned.file.name for planned in self.applied)
        return f"{done} was deployed before this: {error}" if done else str(error)

    def _digest(self, error: RoostError | None) -> str:
        """Return the digest of the plan that an outcome is about: the server's, or the one that failed."""
        plans = {planned.file.name: planned.plan for planned in self.plans}
        about = plans.get(error.where if error else "") or plans.get(self.request.name)
        return plan_digest(about) if about else ""

    def _summary(self, outcome: DeployOutcome) -> Iterator[str]:
        yield outcome_section([outcome])
        for planned in self.plans:
            if planned.plan.steps:
                yield plan_section(PlannedEnvironment(planned.plan, planned.cost), WHOLE)


def outcomes_before(context: Context, folder: Path) -> dict[str, DeployOutcome | None]:
    """Return the outcome of each environment in OPEN; None where its job left none.

    Raises:
        UsageError: OPEN is no list of names.
        BadDocumentError: a file of another job is no outcome.
    """
    found = read_documents(folder)
    return {
        name: read_outcome(found[name], name) if name in found else None
        for name in named(context.environ, OPEN)
    }
