"""`roost cost`: what environments cost a month, by line, asleep and awake. Asks nobody but the files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from roost.environment.load import EnvironmentFile, load_environment, load_files
from roost.environment.units import beside
from roost.errors import ExitCode, InvalidFilesError, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.plan.budget import HOURS_PER_DAY
from roost.plan.cost import Prices, read_prices
from roost.plan.cost_table import USUAL_HOURS, CostLine, CostTable, budget_check, cost_table
from roost.plan.desired import Desired
from roost.plan.desired_state import desired_state
from roost.report.text import Listing, listing
from roost.report.wording import KEEPS_AWAKE

NO_IMAGE = "none"
"""An image costs nothing by its name."""


def cost(
    context: Context, name: str, *, every: bool, hours_per_day: float | None, as_json: bool
) -> ExitCode:
    """Print what one environment, or each of them, costs a month.

    Raises:
        InvalidFilesError: a file has faults.
        UsageError: no environment is named, or an hour that a day has not.
    """
    _check(name, every=every, hours_per_day=hours_per_day)
    prices = read_prices(context.prices)
    given = () if hours_per_day is None else (hours_per_day,)
    hours = tuple(sorted({*USUAL_HOURS, *given}))
    files = _files(context, name, every=every)
    wanted = {file.name: _wanted(file) for file in files}
    tables = [
        cost_table(name, own, prices, hours, others) for name, (own, others) in wanted.items()
    ]
    budgets = {
        file.name: budget_check(budget.monthly_usd, own, prices, others)
        for file in files
        if (budget := file.environment.budget)
        for own, others in [wanted[file.name]]
    }
    if as_json:
        about = {"currency": "USD", "per": "30 days"}
        source = {"source": prices.source, "date": str(prices.date)}
        found = [
            {
                **table.document(),
                "budget": (kept := budgets.get(table.environment)) and kept.document(),
            }
            for table in tables
        ]
        context.out.print_json(json.dumps({**about, **source, "environments": found}))
        return ExitCode.DONE
    context.out.print(_by_environment(tables) if every else _by_line(tables[0]))
    for table in tables:
        if table.window_hours:
            context.out.print(window_note(table, every=every), markup=False, soft_wrap=True)
    for environment, kept in budgets.items():
        line = f"{environment}: {kept.sentence()}" if every else kept.sentence()
        context.out.print(line, markup=False, soft_wrap=True)
    context.out.print(_footnote(prices), markup=False, highlight=False, soft_wrap=True)
    return ExitCode.DONE


def _wanted(file: EnvironmentFile) -> tuple[Desired, Mapping[str, Desired]]:
    """Return what a file asks for: its server, and by the names what stands beside it."""
    others = {unit.name: desired_state(unit, NO_IMAGE) for unit in beside(file)}
    return desired_state(file, NO_IMAGE), others


def _check(name: str, *, every: bool, hours_per_day: float | None) -> None:
    if bool(name) == every:
        raise UsageError(
            "Name one environment, or all of them with --all.",
            advice=f"Examples: {Command('cost', 'staging')}, {Command('cost', '--all')}",
        )
    if hours_per_day is not None and not 0 <= hours_per_day <= HOURS_PER_DAY:
        raise UsageError("--hours-per-day is a number from 0 to 24.", where="--hours-per-day")


def _files(context: Context, name: str, *, every: bool) -> tuple[EnvironmentFile, ...]:
    if not every:
        return (load_environment(name, context.environments),)
    loaded = load_files([context.environments])
    if loaded.faults:
        raise InvalidFilesError(loaded.faults)
    if not loaded.files:
        raise UsageError(
            f"There is no environment file in {context.environments}.",
            advice=f"Make one: {Command('init')}",
        )
    return loaded.files


def _by_line(table: CostTable) -> Listing:
    lines = (*table.lines, table.total)
    return listing((table.environment, *map(_heading, table.hours)), map(_row, lines))


def _by_environment(tables: Iterable[CostTable]) -> Listing:
    """One row an environment, and their sum."""
    found = tuple(tables)
    rows = [CostLine(table.environment, table.total.amounts) for table in found]
    columns = zip(*(row.amounts for row in rows), strict=True)
    total = CostLine("total", tuple(sum(column) for column in columns))
    heads = ("environment", *map(_heading, found[0].hours))
    return listing(heads, map(_row, (*rows, total)))


def _row(line: CostLine) -> tuple[str, ...]:
    return (line.name, *(f"${amount:.2f}" for amount in line.amounts))


def _heading(hours: float) -> str:
    return {0: "asleep", HOURS_PER_DAY: "always on"}.get(hours, f"{hours:g} h a day")


def window_note(table: CostTable, *, every: bool) -> str:
    """Return for how long windows keep a server awake, which each column includes."""
    who = f"{table.environment} is awake in windows" if every else "Awake in windows"
    hours = f"{table.window_hours:.0f} h a month"
    return f"{who} for {hours}: each column has at least these hours."


def _footnote(prices: Prices) -> str:
    return (
        f"USD per 30 days, prices of {prices.date} ({prices.source}). Without outgoing traffic, and "
        f"snapshots beyond the 10 GB that are free. {KEEPS_AWAKE} Such a server costs what the column "
        "always on says."
    )
