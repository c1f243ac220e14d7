"""`roost github secrets`: set an environment's secrets, unless a newer commit changes them.

Those of its flow servers are set with them.
"""

from __future__ import annotations

from roost.commands.secrets import outcome
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.units import to_apply
from roost.errors import ExitCode, NotPlannedError, SupersededError, UnappliableError
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.operations.applying import apply_planned
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.lease_owner import lease_description
from roost.operations.needed_secrets import check_all_values
from roost.operations.planning import Planned, make_plan
from roost.plan.scope_check import beside_secrets
from roost.report.text import plan_report
from roost.workflows.approval import check_values
from roost.workflows.job import need_runner
from roost.workflows.merges import newest_pull
from roost.workflows.run_page import show_output
from roost.workflows.superseded import check_newest


async def secrets(context: Context, name: str, *, strict: bool) -> ExitCode:
    """Set the secrets that a deploy would set, and nothing else.

    Where a newer commit changes them, nothing is done: a run that waited, or that somebody runs
    again, has the values of its own commit and would restore old ones, such as a value that leaked.

    Args:
        context: where things are, and where to print.
        name: the environment.
        strict: refuse a commit without a pull request, as for protected environments.

    Raises:
        UsageError: this is no run of a workflow.
        NotPlannedError: a pull request is required, and the commit came without one.
        UnapprovedError: a push would give a protected environment a value that nobody reviewed.
        UnappliableError: more than secrets would change, and no run of Deploy does that.
        RoostError: see `roost secrets --set`.
    """
    runner = need_runner(context)
    context.out.record = True  # what is printed is added to the run's page below
    try:
        message = await _set(context, runner, name, strict=strict)
    except SupersededError as error:
        message = (
            f"The secrets of {name} are superseded: {error} To set them again, do not run this run "
            "again: start the workflow Secrets, which uses the head of the branch."
        )
    context.out.print(message, markup=False, soft_wrap=True)
    show_output(context)
    return ExitCode.DONE


async def _set(context: Context, runner: Runner, name: str, *, strict: bool) -> str:
    """Set the secrets of the server and its flow servers where this run may; return what it did.

    Everything is checked before anything is set, as a flow server has the login of its server.
    """
    file = load_environment(name, context.environments)
    async with github_of(context.environ) as github, connect(context, local=False) as target:
        # Checked once: the jobs of newer commits wait in the queue behind this one.
        await check_newest(context, github, runner, file)
        plans = [await make_plan(context, unit, target) for unit in to_apply(file)]
        for planned in plans:
            others = beside_secrets(planned.plan, removing=False)
            if others and not planned.plan.refusals:  # refusals are reported when a plan is applied
                return _left(runner, planned.file.name, name, others)
        changing = [planned for planned in plans if planned.plan.steps]
        if changing and (strict or file.environment.protected):
            await _check_reviewed(github, runner, file)
            for planned in changing:
                check_values(runner, planned)
        check_all_values(target, plans)
        return " ".join([await _apply(context, target, planned) for planned in plans])


async def _apply(context: Context, target: Target, planned: Planned) -> str:
    context.progress.print(plan_report(planned.plan, planned.cost))
    doing = lease_description("github secrets", context.environ)
    results = await apply_planned(context, target, planned, doing)
    return outcome(planned, proved=bool(results))


def _left(runner: Runner, name: str, environment: str, others: tuple[str, ...]) -> str:
    """Return a sentence that leaves other changes to Deploy, which the same push starts.

    Raises:
        UnappliableError: no push started this run, so there is no run of Deploy.
    """
    more = f"There is more to change than secrets: {'; '.join(others)}."
    if runner.event_name == "push":
        return (
            f"{name}: {more} The Deploy run of this commit does that, and sets the secrets with it. "
            "Nothing was changed here."
        )
    raise UnappliableError(
        more,
        where=name,
        advice=f"Run the deploy workflow for {environment}, which sets the secrets too. Nothing was changed.",
    )


async def _check_reviewed(github: GitHub, runner: Runner, file: EnvironmentFile) -> None:
    """Check that the commit came by a pull request, as a deploy does.

    Raises:
        NotPlannedError: it did not.
    """
    if await newest_pull(github, runner) is None:
        raise NotPlannedError(
            f"{file.name} is protected, and this commit came without a pull request.",
            where=file.name,
            advice=(
                f"Nothing was changed. Run the deploy workflow for {file.name}: it shows the plan, "
                "and applies it when you give it the plan's digest."
            ),
        )
