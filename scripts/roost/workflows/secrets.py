"""`roost github secrets`: set an environment's secrets, unless a newer commit has others."""

from __future__ import annotations

from roost.commands.secrets import outcome
from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import ExitCode, NotPlannedError, SupersededError, UnappliableError
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.operations.changes import apply_planned, make_plan
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.operations.lease_owner import holding
from roost.plan.scope_check import beside_secrets
from roost.report.text import plan_report
from roost.workflows.approval import check_values
from roost.workflows.job import need_runner
from roost.workflows.merges import newest_pull
from roost.workflows.run_page import show_output
from roost.workflows.superseded import check_newest


async def secrets(context: Context, name: str, strict: bool) -> ExitCode:  # noqa: FBT001 - set by name in cli
    """Set what a deploy would, and nothing else; superseded by a newer commit, do nothing.

    A run that waited, or that somebody runs again, has the values of its own commit: an older one
    would bring back what was changed since, such as a value that leaked.

    Args:
        context: where things are, and where to print.
        name: of the environment.
        strict: whether a commit without a pull request is refused; so it is for protected ones.

    Raises:
        UsageError: this is no run of a workflow.
        NotPlannedError: a pull request is wanted, and the commit came without one.
        UnapprovedError: it is protected, and a push would give it a value that nobody reviewed.
        UnappliableError: more than secrets is to change, and no run of Deploy does that.
        RoostError: see `roost secrets --set`.
    """
    runner = need_runner(context)
    context.out.record = True  # as with every button, what is printed stands on the run's page
    try:
        told = await _set(context, runner, name, strict=strict)
    except SupersededError as error:
        told = (
            f"The secrets of {name} are superseded: {error} To set them once more, do not run this "
            "run again: start the workflow Secrets anew, which takes the branch as it is now."
        )
    context.out.print(told, markup=False, soft_wrap=True)
    show_output(context)
    return ExitCode.DONE


async def _set(context: Context, runner: Runner, name: str, *, strict: bool) -> str:
    """Set them where that is for this run to do, and say what came of it."""
    file = load_environment(name, context.environments)
    async with github_of(context.environ) as github, connect(context, local=False) as target:
        # Once is enough: whatever a newer commit starts waits in line behind this job.
        await check_newest(context, github, runner, file)
        planned = await make_plan(context, file, target)
        others = beside_secrets(planned.plan, removing=False)
        if others and not planned.plan.refusals:  # those are told where it is carried out
            return _left(runner, name, others)
        if planned.plan.steps and (strict or file.environment.protected):
            await _check_reviewed(github, runner, file)
            check_values(runner, planned)
        context.progress.print(plan_report(planned.plan, planned.cost))
        doing = holding("roost github secrets", context.environ)
        results = await apply_planned(context, target, planned, doing)
    return outcome(planned, proved=bool(results))


def _left(runner: Runner, name: str, others: tuple[str, ...]) -> str:
    """Leave what is more than secrets to Deploy, which the same push starts; say so.

    Raises:
        UnappliableError: no push started this run, and so none of Deploy.
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
        advice=f"Run the deploy workflow for {name}, which sets the secrets too. Nothing was changed.",
    )


async def _check_reviewed(github: GitHub, runner: Runner, file: EnvironmentFile) -> None:
    """Hold what is protected to what came by a pull request, as a deploy does.

    Raises:
        NotPlannedError: the commit came without one.
    """
    if await newest_pull(github, runner) is None:
        raise NotPlannedError(
            f"{file.name} is protected, and this commit came without a pull request.",
            where=file.name,
            advice=(
                f"Nothing was changed. Run the deploy workflow for {file.name}: it shows the plan, "
                "and carries it out once it is given the plan's digest."
            ),
        )
