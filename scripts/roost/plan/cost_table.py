"""What an environment costs a month, line by line, for so many awake hours a day. Pure.

USD per 30 days from `deploy/prices.yaml`. Left out, because a file does not know it: outgoing traffic,
and snapshots beyond the 10 GB that Fly stores for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roost.plan.awake_windows import window_hours, window_share
from roost.plan.budget import HOURS_PER_DAY, BudgetCheck
from roost.plan.cost import Json, Prices, machine_month
from roost.plan.desired import Desired
from roost.plan.replicas import is_replicated, runs_services

AWAKE = "machine, awake"
USUAL_HOURS = (0.0, 2.0, 8.0, 24.0)
# With windows the cost is no straight line: it stays until the hours of a window are passed.
_STEPS = tuple(tenths / 10 for tenths in range(int(HOURS_PER_DAY) * 10 + 1))


@dataclass(frozen=True)
class CostLine:
    """One thing that is paid for.

    Args:
        name: what it is.
        amounts: USD per 30 days, one for each number of awake hours.
    """

    name: str
    amounts: tuple[float, ...]


@dataclass(frozen=True)
class CostTable:
    """What one environment costs.

    Args:
        environment: its name.
        hours: the awake hours a day that the columns stand for; a machine that never sleeps is
            awake for 24 in each, and one with windows at least inside them.
        lines: what is paid for.
        window_hours: the hours of 30 days in which windows keep the server awake.
    """

    environment: str
    hours: tuple[float, ...]
    lines: tuple[CostLine, ...]
    window_hours: float = 0.0

    @property
    def total(self) -> CostLine:
        """The sum of all lines."""
        columns = zip(*(line.amounts for line in self.lines), strict=True)
        return CostLine("total", tuple(sum(column) for column in columns))

    def document(self) -> Json:
        """Return the JSON form, rounded to cents."""
        return {
            "environment": self.environment,
            "hours_per_day": list(self.hours),
            "window_hours": round(self.window_hours, 1),
            "lines": {
                line.name: [round(amount, 2) for amount in line.amounts]
                for line in (*self.lines, self.total)
            },
        }


def cost_table(
    environment: str,
    desired: Desired,
    prices: Prices,
    hours: Sequence[float],
    beside: Mapping[str, Desired] | None = None,
) -> CostTable:
    """Return what a file asks for costs.

    Args:
        environment: the name of the file.
        desired: what it asks for.
        prices: the price list.
        hours: awake hours a day, each from 0 to 24; of flow servers too.
        beside: what it asks for what stands beside the server, by the names.
    """
    lines = [*_app_lines("", desired, prices, hours)]
    for name, wanted in (beside or {}).items():
        lines += _app_lines(f"{name}: ", wanted, prices, hours)
    inside = max((window_hours(machine.config) for machine in desired.machines), default=0.0)
    return CostTable(environment, tuple(hours), tuple(lines), inside)


def _app_lines(
    prefix: str, desired: Desired, prices: Prices, hours: Sequence[float]
) -> tuple[CostLine, ...]:
    """Return the cost of an app: its machines and its volume."""
    lines = _machine_lines(prefix, desired, prices, hours)
    if desired.volume is None:
        return lines
    volume = (desired.volume.size_gb * prices.volume_gb,) * len(hours)
    return (*lines, CostLine(f"{prefix}volume", volume))


def _machine_lines(
    prefix: str, desired: Desired, prices: Prices, hours: Sequence[float]
) -> tuple[CostLine, ...]:
    """Return the cost of an app's machines, awake and asleep; by their kind for a replicated server."""
    names = dict.fromkeys(_kind(machine.config) for machine in desired.machines) or {AWAKE: None}
    kinds = {name: [0.0] * len(hours) for name in names}
    asleep = [0.0] * len(hours)
    for number, machine in enumerate(desired.machines):
        month = machine_month(prices, machine.config.get("guest") or {}, machine.region)
        stopped = prices.image_gb * prices.rootfs_gb
        for column, given in enumerate(hours):
            least = 1.0 if number < desired.always_on else window_share(machine.config)
            share = max(least, given / HOURS_PER_DAY)
            kinds[_kind(machine.config)][column] += month * share
            asleep[column] += stopped * (1 - share)
    return (
        *(CostLine(f"{prefix}{name}", tuple(amounts)) for name, amounts in kinds.items()),
        CostLine(f"{prefix}root file system, asleep", tuple(asleep)),
    )


def _kind(config: Json) -> str:
    """Return the name of the line that a machine is counted in."""
    if not is_replicated(config):
        return AWAKE
    return "machine for the services" if runs_services(config) else "machines for the API"


def budget_check(
    monthly_usd: float, desired: Desired, prices: Prices, beside: Mapping[str, Desired]
) -> BudgetCheck:
    """Compare a budget with what a file asks for; its awake hours are counted in tenths.

    Args:
        monthly_usd: the budget.
        desired: the server that is asked for.
        prices: the price list.
        beside: what is asked for beside it, by the names.
    """
    amounts = cost_table("", desired, prices, _STEPS, beside).total.amounts
    kept = [hours for hours, amount in zip(_STEPS, amounts, strict=True) if amount <= monthly_usd]
    return BudgetCheck(monthly_usd, amounts[0], amounts[-1], max(kept, default=0.0))
