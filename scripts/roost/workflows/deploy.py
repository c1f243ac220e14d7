"""`roost github deploy`: apply only what was approved, on a push to main or by hand.

A plan is approved by a merged pull request whose comment shows it, or by its digest, which somebody
types after reading the plan. As with every apply, the gate decides whether the server is healthy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from roost.environment.flow_units import flow_units
from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import (
    ExitCode,
    RoostError,
    SupersededError,
)
from roost.errors.command import Command
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.operations.applying import apply_planned, moment, settle
from roost.operations.artifacts import read_documents, write_document
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.lease_owner import lease_description
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
    """The plan of the server, and then of each flow server."""
    left: list[Planned] = field(default_factory=list)
    """Plans that somebody who approved another one by its digest did not approve."""
    changed: bool = False
    url: str = ""
    unproved: bool = False
    outcome: DeployOutcome | None = None

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    async def run(self) -> None:
        """Check that the commit is the newest and the plan approved; apply, prove and report it."""
        file = load_environment(self.request.name, self.context.environments)
        async with (
            github_of(self.context.environ) as github,
            connect(self.context, local=False) as target,
        ):
            await self.deploy_unit(github, target, file, file)
            public = file.environment.access.public
            self.url = await target.app_url(file.environment.app, public=public)
            for unit in flow_units(file):
                await self.deploy_unit(github, target, file, unit)
        if self.left and not self.changed:
            check_digest(self.left[0].plan, self.request.digest)
        self.end(Result.DEPLOYED if self.changed else Result.UNCHANGED)

    async def deploy_unit(
        self, github: GitHub, target: Target, file: EnvironmentFile, unit: EnvironmentFile
    ) -> None:
        """Deploy the server of an environment, or one of its flow servers, if it was approved."""
        await check_newest(self.context, github, self.runner, file)
        planned = await self.plan(unit, target)
        if planned.plan.steps and file.environment.flows and self.is_another(planned):
            self.left.append(planned)
            self.context.progress.print(
                f"{unit.name} has a plan with another digest, and stays as it is."
            )
            return
        if planned.plan.steps:
            await self.check_approved(github, planned)
            # Checking takes seconds; a newer commit may have been pushed meanwhile.
            await check_newest(self.context, github, self.runner, file)
        self.context.progress.print(plan_report(planned.plan, planned.cost))
        checks = await apply_planned(
            self.context,
            target,
            planned,
            lease_description("github deploy", self.context.environ),
        )
        self.changed |= bool(planned.plan.steps)
        self.unproved |= bool(planned.plan.steps) and not checks

    def is_another(self, planned: Planned) -> bool:
        """Return whether somebody approved the plan of another app of the environment by its digest."""
        return bool(self.request.digest) and plan_digest(planned.plan) != self.request.digest

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
            check_digest(planned.plan, self.request.digest)
            return
        if self.request.after:
            check_proved(planned.plan, outcomes_before(self.context, self.request.after))
        strict = self.request.strict or planned.file.environment.protected
        note = await check_merged(github, self.runner, planned.plan, strict=strict)
        if strict:
            check_values(self.runner, planned)
        if note:
            self.context.progress.print(note)

    def end(self, result: Result, error: RoostError | None = None) -> None:
        """Set the outcome, and write it to the run's outputs and page."""
        planned = self.plans[0] if self.plans else None
        self.outcome = DeployOutcome(
            environment=self.request.name,
            app=planned.desired.app if planned else "",
            outcome=result,
            word=error.word if error else "",
            message=str(error) if error else "",
            url=self.url,
            digest=plan_digest(planned.plan) if planned else "",
            seconds=round(time.monotonic() - self._began, 1),
            run_url=self.runner.run_url,
            at=moment(),
            unproved=self.unproved,
        )
        self.runner.output("outcome", result.value)
        self.runner.output("url", self.url)
        rest = f"`{Command('plan', self.request.name, '--json').typed}` shows the whole plan."
        self.runner.summary("\n".join(self._summary(self.outcome)), rest=rest)

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
