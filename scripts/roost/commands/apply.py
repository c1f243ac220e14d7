"""`roost apply`: carry out the plan and prove the result."""

from __future__ import annotations

import json

from roost.environment.flow_units import split_name
from roost.environment.load import EnvironmentFile, load_unit
from roost.environment.units import beside, to_apply, units
from roost.errors import ChangedMeanwhileError, ExitCode
from roost.errors.command import Command
from roost.operations.applying import apply_and_report, settle
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.needed_secrets import check_all_values
from roost.operations.notifier import telling
from roost.operations.planning import joined, make_plan, print_database_note
from roost.plan.document import Json, plan_digest
from roost.plan.restore import restoring
from roost.plan.secrets import rotates_asleep
from roost.report.notice import apply_notice
from roost.report.text import plan_report, unit_heading
from roost.report.wording import connect_line


async def apply(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
    digest: str,
) -> ExitCode:
    """Plan, apply, and prove that the server is healthy, and what stands beside it, each by itself.

    With `as_json`, one object is printed, with those beside the server under `flows`.

    Raises:
        ChangedMeanwhileError: the plan is not the one with the given digest.
        GateError: the gate failed.
        MissingSecretError: a value is missing, of the server or of what stands beside it; nothing was changed.
    """
    file = load_unit(name, context.environments)
    # A digest is of one plan, so what stands beside the server is then applied by its own name.
    chosen = (file,) if digest else to_apply(file)
    documents: list[Json] | None = [] if as_json else None
    try:
        async with connect(context, local=local) as target:
            with telling(context, split_name(name)[0], apply_notice, local=local):
                if len(chosen) > 1:
                    plans = [await make_plan(context, unit, target) for unit in chosen]
                    check_all_values(target, plans)
                for unit in chosen:
                    await _apply_one(context, target, unit, digest, documents)
    finally:
        if documents:
            shown = [unit.name for unit in units(file)]
            documents.sort(key=lambda document: shown.index(document["environment"]))
            context.out.print_json(json.dumps(joined(documents)))
    if not as_json and not (file.waker or file.redis):  # no client connects to these
        context.progress.print(connect_line(split_name(name)[0]))
    return ExitCode.DONE


async def _apply_one(
    context: Context,
    target: Target,
    file: EnvironmentFile,
    digest: str,
    documents: list[Json] | None,
) -> None:
    """Plan and apply one unit; add its document, also if its gate fails."""
    planned = await make_plan(context, file, target)
    if restoring(planned.desired, planned.live):
        await settle(context, target, planned)
        planned = await make_plan(context, file, target)
    if digest and digest != plan_digest(planned.plan):
        raise ChangedMeanwhileError(
            "The plan no longer has that digest.",
            advice=f"See the new plan: {Command('plan', file.name)}",
        )
    if file.beside or beside(file):
        context.progress.print(unit_heading(file.name, planned.desired.app))
    context.progress.print(plan_report(planned.plan, planned.cost))
    print_database_note(context, planned)
    if documents is None:
        await apply_and_report(context, target, planned, None)
    else:
        document = planned.document()
        await apply_and_report(context, target, planned, document, hand_over=documents.append)
    if rotates_asleep(planned.plan.steps):
        context.progress.print(
            "The server sleeps and wakes with the new secrets. Its release is unproved until then: "
            f"{Command('smoke', file.name)}",
            soft_wrap=True,
        )
