"""Estimate what an environment costs a month: asleep but for its windows, and awake all the time.

An estimate in USD per 30 days from `deploy/prices.yaml`, which carries its source and date.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from roost.fly.models import Machine, Volume
from roost.plan.awake_windows import window_hours, window_share
from roost.plan.budget import BudgetCheck
from roost.plan.desired import LIMIT_FIELD, Desired, DesiredVolume, always_on
from roost.plan.live import Live
from roost.plan.ownership import find_volume, is_ours, our_machines

# Ten times as fast where PyYAML has its C part: each plan reads the price list.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

SECONDS_PER_MONTH = 30 * 24 * 3600
INCLUDED_MB = {"shared": 256, "performance": 2048}
Json = dict[str, Any]


class Prices(BaseModel):
    """The price list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    date: Any
    shared_cpu: float
    performance_cpu: float
    extra_gb: float
    volume_gb: float
    rootfs_gb: float
    image_gb: float
    markup: dict[str, float]


@dataclass(frozen=True)
class Cost:
    """USD per 30 days."""

    low: float
    """Asleep all month, except for machines that always run, and inside windows."""
    high: float
    """Awake all month, with the volume extended to its limit."""
    window_hours: float = 0.0
    """The hours in which windows keep a server awake."""

    def __add__(self, other: Cost) -> Cost:
        hours = max(self.window_hours, other.window_hours)
        return Cost(self.low + other.low, self.high + other.high, hours)

    def document(self) -> Json:
        """Return the JSON form, rounded to cents."""
        hours = round(self.window_hours, 1)
        return {"low": round(self.low, 2), "high": round(self.high, 2), "window_hours": hours}


@dataclass(frozen=True)
class CostChange:
    """Cost now and after the plan."""

    now: Cost
    then: Cost
    source: str
    date: str
    budget: BudgetCheck | None = None
    """The budget of the whole environment beside what its file asks for; None without one."""

    def document(self) -> Json:
        """Return the JSON form, rounded to cents."""
        budget = {"budget": self.budget.document()} if self.budget else {}
        return {
            **budget,
            "currency": "USD",
            "per": "30 days",
            "now": self.now.document(),
            "then": self.then.document(),
            "source": self.source,
            "date": self.date,
        }


def read_prices(path: Path) -> Prices:
    """Read the price list."""
    text = path.read_text(encoding="utf-8")
    return Prices.model_validate(yaml.load(text, _LOADER))  # noqa: S506 - both loaders are safe ones


def cost_change(prices: Prices, desired: Desired, live: Live) -> CostChange:
    """Return the cost of the live app, and of the app after the plan."""
    ours = our_machines(desired, live)
    strangers = [m for m in live.machines if not is_ours(m, desired)]
    volume = find_volume(desired.volume, live, ours) if desired.volume else None
    other_gb = sum(v.size_gb for v in live.volumes if v is not volume)
    others = _machines_cost(
        prices, [(m.config or {}, m.region) for m in strangers], _always_on(strangers)
    ) + _volume_cost(prices, other_gb)
    now = _machines_cost(
        prices, [(m.config or {}, m.region) for m in ours.values()], _always_on(ours.values())
    ) + _volume_cost(prices, volume.size_gb if volume else 0, _limit_gb(ours.values()))
    then = _machines_cost(
        prices, [(m.config, m.region) for m in desired.machines], desired.always_on
    ) + _wanted_volume_cost(prices, desired.volume, volume)
    return CostChange(now + others, then + others, prices.source, str(prices.date))


def machine_month(prices: Prices, guest: Json, region: str) -> float:
    """Return the price in USD of a machine that is awake for 30 days."""
    kind, cpus = guest.get("cpu_kind") or "shared", guest.get("cpus") or 1
    rate = prices.shared_cpu if kind == "shared" else prices.performance_cpu
    included_mb: int = INCLUDED_MB.get(kind, INCLUDED_MB["shared"]) * cpus
    extra_gb: float = max(0, (guest.get("memory_mb") or 256) - included_mb) / 1024
    per_second: float = rate * cpus + prices.extra_gb * extra_gb
    return prices.markup.get(region, 1) * per_second * SECONDS_PER_MONTH


def _machines_cost(prices: Prices, machines: list[tuple[Json, str]], always_on: int) -> Cost:
    """Return the cost of machines, by their configs and regions."""
    awake = [
        machine_month(prices, config.get("guest") or {}, region) for config, region in machines
    ]
    asleep = prices.image_gb * prices.rootfs_gb
    kept = min(always_on, len(awake))
    sleeping = [
        (month, window_share(config)) for month, (config, _) in zip(awake, machines, strict=True)
    ]
    low = sum(month * share + asleep * (1 - share) for month, share in sleeping[kept:])
    hours = max((window_hours(config) for config, _ in machines), default=0.0)
    return Cost(sum(awake[:kept]) + low, sum(awake), hours)


def _volume_cost(prices: Prices, size_gb: int, limit_gb: int = 0) -> Cost:
    """Return the cost of a volume, from its size now to the limit that Fly may extend it to."""
    return Cost(size_gb * prices.volume_gb, max(size_gb, limit_gb) * prices.volume_gb)


def _wanted_volume_cost(
    prices: Prices, wanted: DesiredVolume | None, volume: Volume | None
) -> Cost:
    """Return the cost of the desired volume; one that Fly has extended never shrinks."""
    if wanted is None:
        return Cost(0, 0)
    size_gb = max(wanted.size_gb, volume.size_gb if volume and wanted.limit_gb else 0)
    return _volume_cost(prices, size_gb, wanted.limit_gb)


def _limit_gb(machines: Iterable[Machine]) -> int:
    """Return the size limit in GB of a volume that Fly may extend; 0 if it may not."""
    mounts = (mount for m in machines for mount in (m.config or {}).get("mounts") or ())
    return max((int(mount.get(LIMIT_FIELD) or 0) for mount in mounts), default=0)


def _always_on(machines: Iterable[Machine]) -> int:
    """Return how many live machines never sleep."""
    return always_on([machine.config for machine in machines])
