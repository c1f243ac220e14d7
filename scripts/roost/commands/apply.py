"""`roost apply`: carry out the plan and prove the result."""

from __future__ import annotations

from roost.environment.load import load_environment
from roost.errors import ChangedMeanwhileError, ExitCode
from roost.errors.command import Command
from roost.operations.applying import apply_and_report, settle
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.operations.planning import make_plan, print_database_note
from roost.plan.document import plan_digest
from roost.plan.restore import restoring
from roost.plan.secrets import rotates_asleep
from roost.report.text import plan_report


async def apply(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
    digest: str,
) -> ExitCode:
    """Plan, apply, and prove that the server is healthy.

    Raises:
        ChangedMeanwhileError: the plan is not the one with the given digest.
        GateError: the gate failed.
    """
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        planned = await make_plan(context, file, target)
        if restoring(planned.desired, planned.live):
            await settle(context, target, planned)
            planned = await make_plan(context, file, target)
        if digest and digest != plan_digest(planned.plan):
            raise ChangedMeanwhileError(
                "The plan no longer has that digest.",
                advice=f"See the new plan: {Command('plan', name)}",
            )
        context.progress.print(plan_report(planned.plan, planned.cost))
        print_database_note(context, planned)
        document = planned.document() if as_json else None
        await apply_and_report(context, target, planned, document)
    if rotates_asleep(planned.plan.steps):
        context.progress.print(
            f"The server sleeps and wakes with the new secrets. Its release is unproved until then: {Command('smoke', name)}",
            soft_wrap=True,
        )
    return ExitCode.DONE
