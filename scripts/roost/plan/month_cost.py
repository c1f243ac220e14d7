"""What an app costs in this calendar month: so far, and at its end. Pure.

From the prices of a plan, the machines and volumes that exist, and the time that the machines were awake.
It leaves out outgoing traffic, snapshots and addresses, and machines that were destroyed this month.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from roost.fly.models import Machine, Volume
from roost.plan.awake_time import DAY_S, AwakeTime
from roost.plan.awake_windows import window_share
from roost.plan.cost import SECONDS_PER_MONTH, Json, Prices, machine_month

LOOKS_BACK_S = 7 * DAY_S
"""The rest of the month is expected to be as awake as the last week, as far as that is known."""


@dataclass(frozen=True)
class MonthCost:
    """USD in this calendar month.

    Args:
        so_far: from its begin until now.
        at_end: until its end, if the machines go on as in the last week.
        at_least: whether Fly has forgotten events of this month, so that it is more.
    """

    so_far: float = 0.0
    at_end: float = 0.0
    at_least: bool = False

    def __add__(self, other: MonthCost) -> MonthCost:
        return MonthCost(
            self.so_far + other.so_far,
            self.at_end + other.at_end,
            self.at_least or other.at_least,
        )

    def document(self) -> Json:
        """Return the JSON form, rounded to cents."""
        return {
            "so_far": round(self.so_far, 2),
            "month_end": round(self.at_end, 2),
            "at_least": self.at_least,
        }


@dataclass(frozen=True)
class Month:
    """A calendar month in UTC, and the present time in it; seconds since the epoch."""

    begin: float
    now: float
    end: float

    @classmethod
    def of(cls, now: datetime) -> Month:
        """Return the month of a time."""
        at = now.astimezone(UTC)
        begin = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        end = begin.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
        return cls(begin.timestamp(), at.timestamp(), end.timestamp())

    def since(self, created_at: str) -> float:
        """Return when something of this age began to cost in this month."""
        try:
            made = datetime.fromisoformat(created_at).timestamp()
        except (ValueError, OverflowError):
            return self.begin
        return min(max(self.begin, made), self.now)


def month_cost(
    prices: Prices,
    machines: Iterable[Machine],
    volumes: Iterable[Volume],
    awake: Mapping[str, AwakeTime],
    month: Month,
) -> MonthCost:
    """Return what an app costs in a month.

    Args:
        prices: the price list.
        machines: its machines, of anybody.
        volumes: its volumes, used or not.
        awake: when each machine was awake, by its id.
        month: the month.
    """
    parts = [_machine(prices, machine, awake[machine.id], month) for machine in machines]
    parts += [_volume(prices, volume, month) for volume in volumes]
    return sum(parts, MonthCost())


def _machine(prices: Prices, machine: Machine, awake: AwakeTime, month: Month) -> MonthCost:
    config = machine.config or machine.incomplete_config or {}
    up = machine_month(prices, config.get("guest") or {}, machine.region) / SECONDS_PER_MONTH
    down = prices.image_gb * prices.rootfs_gb / SECONDS_PER_MONTH
    since = month.since(machine.created_at)
    awake_s = awake.seconds(since, month.now)
    so_far = awake_s * up + (month.now - since - awake_s) * down
    share = max(_share(machine, awake, month), window_share(config))
    left = month.end - month.now
    at_end = so_far + left * (share * up + (1 - share) * down)
    # The oldest event and `created_at` of a new machine are not at the same instant.
    return MonthCost(so_far, at_end, at_least=awake.known_from > since + 1)


def _share(machine: Machine, awake: AwakeTime, month: Month) -> float:
    """Return which part of the last week, as far as known, a machine was awake."""
    begin = max(month.now - LOOKS_BACK_S, awake.known_from)
    if begin >= month.now:
        return float(machine.state == "started")
    return awake.seconds(begin, month.now) / (month.now - begin)


def _volume(prices: Prices, volume: Volume, month: Month) -> MonthCost:
    a_second = volume.size_gb * prices.volume_gb / SECONDS_PER_MONTH
    since = month.since(volume.created_at)
    return MonthCost(a_second * (month.now - since), a_second * (month.end - since))
