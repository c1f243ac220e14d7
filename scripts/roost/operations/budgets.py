"""What environments with a budget cost in this calendar month, from the hours that Fly's events show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from roost.environment.files import EnvironmentFile
from roost.environment.flow_units import split_name
from roost.errors import FlyError
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.operations.context import Context
from roost.operations.drift_result import DriftFound
from roost.plan.awake_time import awake_time, reaches_back
from roost.plan.cost import Prices, read_prices
from roost.plan.live import Live
from roost.plan.month_cost import Month, MonthCost, month_cost
from roost.report.drift import BudgetFound


async def read_budgets(
    context: Context,
    fly: FlyClient,
    files: Iterable[EnvironmentFile],
    found: Sequence[DriftFound],
    now: datetime,
) -> tuple[BudgetFound, ...]:
    """Return the month of each environment with a budget, all its apps included.

    One whose apps could not all be read is left out.
    """
    prices, month = read_prices(context.prices), Month.of(now)
    budgets = []
    for file in files:
        budget = file.environment.budget
        units = [one for one in found if split_name(one.name)[0] == file.name]
        lives = [one.planned.live for one in units if one.planned]
        if budget is None or not lives or len(lives) < len(units):
            continue
        complete = [await with_older_events(fly, live, month.begin) for live in lives]
        cost = sum((_cost(prices, live, month) for live in complete), MonthCost())
        budgets.append(BudgetFound.of(file.name, budget.monthly_usd, cost, now))
    return tuple(budgets)


def _cost(prices: Prices, live: Live, month: Month) -> MonthCost:
    awake = {machine.id: awake_time(machine, month.now) for machine in live.machines}
    return month_cost(prices, live.machines, live.volumes, awake, month)


async def with_older_events(fly: FlyClient, live: Live, begin: float) -> Live:
    """Return the state with more events of each machine whose list does not reach back to a time.

    Where they cannot be read, those of the list stay, and the cost is at least what they show.
    """
    if live.app is None:
        return live
    app = live.app.name

    async def complete(machine: Machine) -> Machine:
        if reaches_back(machine, begin):
            return machine
        try:
            events = await fly.list_events(app, machine.id)
        except FlyError:
            return machine
        return machine.model_copy(update={"events": events})

    return replace(live, machines=tuple([await complete(machine) for machine in live.machines]))
