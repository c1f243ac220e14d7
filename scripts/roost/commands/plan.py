"""`roost plan`: show what would change, for an environment and its flow servers."""

from __future__ import annotations

import json

from roost.environment.load import load_unit
from roost.environment.units import units
from roost.errors import ExitCode
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.operations.planning import make_plan, plans_document, print_database_note
from roost.report.text import plan_report, unit_heading


async def plan(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
    exit_code: bool,
) -> ExitCode:
    """Show what would change; with `exit_code`, the exit code is 2 if something would."""
    file = load_unit(name, context.environments)
    async with connect(context, local=local) as target:
        found = [await make_plan(context, unit, target) for unit in units(file)]
    if as_json:
        context.out.print_json(json.dumps(plans_document(found)))
    for planned in found:
        if not as_json:
            if len(found) > 1:
                context.out.print(unit_heading(planned.file.name, planned.desired.app))
            context.out.print(plan_report(planned.plan, planned.cost))
        for secret, bad in sorted(planned.values.unusable.items()):
            warning = f"warning: An apply refuses {secret}: {bad.why}. {bad.advice}"
            context.progress.print(warning, markup=False, soft_wrap=True)
        print_database_note(context, planned)
    pending = any(planned.plan.steps or planned.plan.refusals for planned in found)
    return ExitCode.CHANGES if exit_code and pending else ExitCode.DONE
