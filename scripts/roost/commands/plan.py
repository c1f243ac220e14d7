"""`roost plan`: show what would change."""

from __future__ import annotations

import json

from roost.environment.load import load_environment
from roost.errors import ExitCode
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.operations.planning import make_plan, print_database_note
from roost.report.text import plan_report


async def plan(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
    exit_code: bool,
) -> ExitCode:
    """Show what would change; with `exit_code`, the exit code is 2 if something would."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        planned = await make_plan(context, file, target)
    if as_json:
        context.out.print_json(json.dumps(planned.document()))
    else:
        context.out.print(plan_report(planned.plan, planned.cost))
    for secret, bad in sorted(planned.values.unusable.items()):
        warning = f"warning: An apply refuses {secret}: {bad.why}. {bad.advice}"
        context.progress.print(warning, markup=False, soft_wrap=True)
    print_database_note(context, planned)
    pending = planned.plan.steps or planned.plan.refusals
    return ExitCode.CHANGES if exit_code and pending else ExitCode.DONE
