"""`roost drift`: show where Fly differs from the files, why, and heal it if asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from roost.apply.objects_step import only_objects
from roost.environment.load import EnvironmentFile, Loaded, load_files, load_unit
from roost.environment.starter import is_example
from roost.environment.units import units
from roost.errors import ExitCode, Fault, FlyError, InvalidFilesError, RoostError, UsageError
from roost.errors.command import Command
from roost.operations.applying import apply_planned
from roost.operations.artifacts import write_document
from roost.operations.budgets import read_budgets
from roost.operations.context import Context
from roost.operations.drift_result import WORST_LAST, DriftFound, Totals
from roost.operations.fly_target import Target, connect
from roost.operations.healing import Healing
from roost.operations.lease_owner import lease_description
from roost.operations.objects_drift import Asks, asks_of, objects_drift
from roost.operations.orphaned_apps import Orphan, find_orphans, left_orphans
from roost.operations.planning import joined, make_plan
from roost.plan.drift import (
    Difference,
    changed_twice,
    find_drift,
    only_apply_ends,
)
from roost.plan.steps import Json
from roost.report.drift import BudgetFound, budget_line, to_do
from roost.report.text import status_table
from roost.report.wording import counted, one_line, shown, unchecked, unchecked_line


async def drift(  # noqa: PLR0913 - one argument an option
    context: Context,
    name: str,
    *,
    every: bool,
    healing: Healing,
    local: bool,
    as_json: bool,
    results: Path | None = None,
    objects: bool = False,
) -> ExitCode:
    """Compare one environment, or all, with Fly, and heal what is asked for.

    With `results`, each result is written there, an error too. With `objects`, a sleeping server is
    woken, so that Prefect's objects are compared too.

    Raises:
        UsageError: neither one environment nor all are asked for, or both.
        RoostError: the one environment failed; with several, each failure is reported instead.
    """
    if bool(name) == every:
        raise UsageError(
            "Name one environment, or give --all.", advice=f"See: {Command('drift', '--help')}"
        )
    if every:
        options = {"local": local, "as_json": as_json, "objects": objects}
        return await _drift_of_all(context, healing, results, **options)
    file = load_unit(name, context.environments)
    options = {"local": local, "as_json": as_json, "objects": objects}
    found = [await _drift_of_one(context, u, healing, results, **options) for u in units(file)]
    is_whole = file.beside is None and healing is Healing.NOTHING
    orphans = await _own_orphans(context, file, local=local) if is_whole else ()
    budgets = await _own_budget(context, file, found, local=local) if is_whole else ()
    if as_json:
        document = joined([one.document() for one in found])
        orphaned = {"orphans": [vars(orphan) for orphan in orphans]} if is_whole else {}
        budgeted = {"budget": budgets[0].model_dump(mode="json")} if budgets else {}
        context.out.print_json(json.dumps({**document, **orphaned, **budgeted}))
    else:
        for line in (*(o.sentence for o in orphans), *map(budget_line, budgets)):
            context.out.print(Text(line))
    in_job = results is not None and healing is not Healing.NOTHING
    codes = [one.code_in_job if in_job else one.code for one in found]
    codes += [ExitCode.CHANGES] if orphans else []
    return max(codes, key=WORST_LAST.index)


async def _own_orphans(
    context: Context, file: EnvironmentFile, *, local: bool
) -> tuple[Orphan, ...]:
    """Return the apps of flow servers that left the environment's file; a note if none is known."""
    async with connect(context, local=local) as target:
        try:
            return await left_orphans(file, target.fly)
        except FlyError as error:
            context.progress.print(
                f"Whether flow servers that left the file exist is unknown: {error.what}",
                markup=False,
                soft_wrap=True,
            )
            return ()


async def _own_budget(
    context: Context, file: EnvironmentFile, found: Sequence[DriftFound], *, local: bool
) -> tuple[BudgetFound, ...]:
    """Return the month of an environment that has a budget; none for one without."""
    if file.environment.budget is None:
        return ()
    async with connect(context, local=local) as target:
        return await read_budgets(context, target.fly, [file], found, datetime.now(UTC))


async def _drift_of_one(  # noqa: PLR0913 - the options of the command
    context: Context,
    file: EnvironmentFile,
    healing: Healing,
    results: Path | None,
    *,
    local: bool,
    as_json: bool,
    objects: bool,
) -> DriftFound:
    """Compare one server or flow server, report it, and heal it if asked."""
    found = DriftFound(file.name)
    try:
        async with connect(context, local=local) as target:
            asked = asks_of(healing, in_job=results is not None, objects=objects)
            found = await compare(context, file, target, asked)
            if not as_json:
                context.out.print(report(found))
            found = await heal(context, target, found, healing)
    except RoostError as error:
        write_result(results, file.name, replace(found, error=error).document())
        raise
    write_result(results, file.name, found.document())
    if not as_json and healing is not Healing.NOTHING:
        context.out.print(ending(found, healing), markup=False, soft_wrap=True)
    return found


async def _drift_of_all(  # noqa: PLR0913 - the options of the command
    context: Context,
    healing: Healing,
    results: Path | None,
    *,
    local: bool,
    as_json: bool,
    objects: bool,
) -> ExitCode:
    def report_one(found: DriftFound) -> None:
        write_result(results, found.name, found.document())
        if not as_json:
            context.out.print(report(found))

    asked = asks_of(healing, in_job=results is not None, objects=objects)
    totals = await compare_all(context, report_one, healing, local=local, objects=asked)
    if as_json:
        context.out.print_json(json.dumps(totals.document()))
    else:
        context.out.print(summary(totals))
    return totals.code


def write_result(folder: Path | None, name: str, document: Json) -> None:
    """Write a result into a folder for the next job; do nothing without a folder."""
    if folder is not None:
        write_document(folder, name, document)


async def compare_all(
    context: Context,
    report_one: Callable[[DriftFound], object],
    healing: Healing = Healing.NOTHING,
    *,
    local: bool = False,
    objects: Asks = Asks.IF_AWAKE,
) -> Totals:
    """Compare all environments, report each as it is known, and search for orphaned apps.

    Raises:
        UsageError: there is no file except the template's examples.
    """
    loaded = watched(context, local=local)
    if not loaded.files and not loaded.faults:
        raise UsageError(
            f"There is no environment file in {context.environments} except the template's examples.",
            advice="A file also names the organization to search for orphaned apps.",
        )
    totals = Totals(
        found=[DriftFound(name, error=error) for name, error in faulty(loaded.faults).items()]
    )
    names = {found.name for found in totals.found}
    for found in totals.found:
        report_one(found)
    async with connect(context, local=local) as target:
        files = [file for file in loaded.files if file.name not in names]
        for unit in (unit for file in files for unit in units(file)):
            found = await compare_safely(context, unit, target, healing, objects)
            totals.found.append(found)
            report_one(found)
        known = [unit for file in loaded.files for unit in units(file)]
        totals.orphans = await find_orphans(context.environments, known, target.fly)
        totals.budgets = await read_budgets(
            context, target.fly, files, totals.found, datetime.now(UTC)
        )
    return totals


def watched(context: Context, *, local: bool = False) -> Loaded:
    """Return the environments to compare; on Fly.io without the template's examples."""
    loaded = load_files([context.environments])
    return Loaded(tuple(f for f in loaded.files if local or not is_example(f)), loaded.faults)


def faulty(faults: tuple[Fault, ...]) -> dict[str, InvalidFilesError]:
    """Return the error of each environment with a faulty file, by name; the others are still read."""
    by_name: dict[str, list[Fault]] = {}
    for fault in faults:
        by_name.setdefault(Path(fault.path).stem, []).append(fault)
    return {name: InvalidFilesError(tuple(found)) for name, found in sorted(by_name.items())}


async def compare(
    context: Context, file: EnvironmentFile, target: Target, objects: Asks = Asks.IF_AWAKE
) -> DriftFound:
    """Compare one environment with Fly, and change nothing; `objects` is that of `objects_drift`."""
    planned = await make_plan(context, file, target)
    differences = find_drift(planned.plan, planned.desired, planned.live, planned.effective.ended)
    of_objects = await objects_drift(context, target, planned, objects)
    found = (*differences, *of_objects.differences)
    return DriftFound(file.name, of_objects.planned, found, objects_note=of_objects.note)


async def compare_safely(
    context: Context, file: EnvironmentFile, target: Target, healing: Healing, objects: Asks
) -> DriftFound:
    """Compare one of several and heal it if asked; a failure is part of the result."""
    found = DriftFound(file.name)
    try:
        found = await compare(context, file, target, objects)
        return await heal(context, target, found, healing)
    except RoostError as error:
        return DriftFound(found.name, found.planned, found.differences, error=error)


async def heal(context: Context, target: Target, found: DriftFound, healing: Healing) -> DriftFound:
    """Heal what is asked for, through the same apply and gate as every change.

    A change of the file that nobody applied yet stays, because an apply needs its approval.

    Raises:
        GateFailedError: the gate failed, and the last good release was restored.
        NotRolledBackError: the gate failed, and no release could be restored.
    """
    if found.planned is None or not healing.takes(found.differences):
        return found
    doing = lease_description(f"drift {healing.value}", context.environ)
    await apply_planned(context, target, found.planned, doing)
    return DriftFound(found.name, found.planned, found.differences, healed=True)


def report(found: DriftFound) -> RenderableType:
    """Return the report of one environment: its state, each difference, and the next step."""
    if found.error:
        return Group(*(Text(line, style="red") for line in error_lines(found.name, found.error)))
    count = counted(len(found.differences), "difference")
    head = f"{found.state}, {count}." if found.differences else f"{found.state}."
    style = "yellow" if found.state == "drift" else "green"
    parts: list[RenderableType] = [Text.assemble((f"{found.name}: ", "bold"), (head, style))]
    if found.differences:
        columns = ("what", "live", "wanted", "why")
        parts.append(status_table(columns, map(_row, found.differences)))
    if found.planned and found.planned.plan.unchecked:
        parts.append(Text(one_line(unchecked_line(unchecked(found.planned.plan)))))
    if found.planned:
        parts += [Text(one_line(note)) for note in found.planned.plan.warnings]
    parts += [Text(one_line(note)) for note in found.objects_notes]
    if not found.healed:
        parts += [Text(line) for line in advice(found)]
    return Group(*parts)


def error_lines(name: str, error: RoostError) -> Iterable[str]:
    """Return the error of one environment, after every fault of its file."""
    if isinstance(error, InvalidFilesError):
        yield from (one_line(str(fault)) for fault in error.faults)
    yield f"{name}: error [{error.word}]: {one_line(error.message)}"


def _row(difference: Difference) -> tuple[str, ...]:
    why = difference.cause.value
    if not difference.field:
        return (f"{difference.key}: {difference.what}", "", "", why)
    if changed_twice(difference):
        why += f"; {shown(difference.sent)} was sent"
    live, wanted = shown(difference.live), shown(difference.wanted)
    return (f"{difference.key} {difference.field}", live, wanted, why)


def advice(found: DriftFound) -> Iterable[str]:
    """Return the next step for each cause."""
    if only_apply_ends(found.differences):
        yield f"The file changed, too. An apply applies that and undoes the rest: {Command('apply', found.name)}"
        return
    yield from (line.replace("`", "") for line in to_do(found.name, found.differences))


def ending(found: DriftFound, healing: Healing) -> str:
    """Return the result of healing as a sentence."""
    if found.healed:
        # A plan of objects alone changes no release, so the gate did not run.
        proved = found.planned is None or not only_objects(found.planned.plan)
        return f"{found.name} is healed{', and proved' if proved else ''}."
    if not found.differences:
        return "There is nothing to heal."
    if healing is Healing.ENDED:
        return f"{found.name} is unchanged: not all differences come from an expired override."
    return (
        f"{found.name} is not healed: a change of the file was never applied, or needs a person. "
        f"See it: {Command('plan', found.name)}"
    )


def summary(totals: Totals) -> RenderableType:
    """Return the orphaned apps, the notes and the counts."""
    lines = [Text(orphan.sentence) for orphan in totals.orphans.apps]
    lines += [Text(one_line(note)) for note in totals.orphans.notes]
    lines += [Text(budget_line(budget)) for budget in totals.budgets]
    states = [found.state for found in totals.found]
    words = ("clean", "new", "healed", "drift", "error")
    counts = [f"{states.count(word)} {word}" for word in words if word in states]
    counts += [f"{len(totals.orphans.apps)} orphaned"] if totals.orphans.apps else []
    lines.append(Text(f"{counted(len(states), 'environment')}: {', '.join(counts) or 'none'}."))
    return Group(*lines)
