"""What is known of one environment among all, as the table of `roost status` has it. Pure.

Everything comes from Fly's API. No server is asked, because a request would wake it or keep it awake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from roost.environment.load import EnvironmentFile
from roost.errors import RoostError
from roost.fly.models import Machine
from roost.plan.awake_time import AwakeTime, awake_time
from roost.plan.awake_windows import window_state
from roost.plan.cost import Prices
from roost.plan.desired import ENVIRONMENT_KEY, VERSION_KEY
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.disk_usage import used_percent
from roost.plan.drift import Difference, find_drift
from roost.plan.effective import effective
from roost.plan.ignored import adopt
from roost.plan.live import Live
from roost.plan.month_cost import Month, MonthCost, month_cost
from roost.plan.next_due import NextDue, as_of_now, next_due_of
from roost.plan.override import Override, marked
from roost.plan.releases import Release, current, releases_on

_AT_REST = frozenset({"stopped", "suspended"})
CRITICAL = "critical"


class State(Enum):
    """The state of an environment's own server in a word."""

    AWAKE = "awake"
    ILL = "unhealthy"
    """It is awake, and one of Fly's own health checks fails."""
    ASLEEP = "asleep"
    CHANGING = "changing"
    """Its machine is being created, started, stopped or replaced."""
    FAILED = "failed"
    """No machine runs, and one ended unasked."""
    EMPTY = "no machine"
    NEW = "new"
    """Its app does not exist yet."""
    ERROR = "error"
    """It could not be read."""


NEED_A_PERSON = frozenset({State.ILL, State.FAILED, State.ERROR})
"""States with which the exit code is 1."""


@dataclass(frozen=True)
class UnitSeen:
    """One app of an environment: the server, a flow server or the waker.

    Args:
        name: `ENVIRONMENT`, or `ENVIRONMENT.NAME` for what stands beside the server.
        app: its app.
        live: what Fly has.
        awake: when each machine was awake, by its id.
        differences: how it differs from its file, as far as that costs nothing: without the values of
            secrets, and without Prefect's objects.
        override: the override in force.
    """

    name: str
    app: str
    live: Live
    awake: Mapping[str, AwakeTime]
    differences: tuple[Difference, ...] = ()
    override: Override | None = None

    @property
    def ours(self) -> tuple[Machine, ...]:
        """The machines that carry its name in their metadata."""
        return tuple(m for m in self.live.machines if m.metadata.get(ENVIRONMENT_KEY) == self.name)


@dataclass(frozen=True)
class FleetRow:
    """What is known of one environment; None is unknown, or nothing.

    Args:
        name: the environment.
        app: the app of its server; empty if its file cannot be read.
        state: the state of its server.
        address: where the server answers.
        prefect: the Prefect version that runs.
        release: the live release.
        releases: every release on record, the oldest first.
        drift: the number of differences from the files, of what stands beside the server too.
        override: the override in force.
        next_due: what a sleeping server is needed for next; an awake one is not asked.
        window_until: until when a window keeps it awake, which is open now.
        awake_since: since when the server is awake.
        disk_percent: how full its fullest volume is.
        cost: what all its apps cost in this month.
        awake: the awake time of the server's machines.
        budget_usd: what all its apps may cost in a month.
        notes: what a person should know, with the next step.
        error: why it could not be read.
    """

    name: str
    app: str
    state: State
    address: str = ""
    prefect: str = ""
    release: Release | None = None
    releases: tuple[Release, ...] = ()
    drift: int | None = None
    override: Override | None = None
    next_due: NextDue | None = None
    window_until: datetime | None = None
    awake_since: datetime | None = None
    disk_percent: int | None = None
    cost: MonthCost | None = None
    awake: tuple[AwakeTime, ...] = ()
    budget_usd: float | None = None
    notes: tuple[str, ...] = ()
    error: RoostError | None = None

    def with_notes(self, notes: Iterable[str]) -> FleetRow:
        """Return the row with these notes."""
        return replace(self, notes=tuple(notes))


def unit_seen(file: EnvironmentFile, image: str, live: Live, now: datetime) -> UnitSeen:
    """Return what is known of one app, from what Fly has and the file asks for."""
    chosen = effective(file, live, now)
    adopted = adopt(marked(desired_state(chosen.file, image), chosen.override), live)
    plan = chosen.annotate(adopted.annotate(diff(adopted.desired, live)))
    found = find_drift(plan, adopted.desired, live, chosen.ended) if live.app else ()
    awake = {m.id: awake_time(m, now.timestamp()) for m in live.machines}
    return UnitSeen(file.name, file.environment.app, live, awake, found, chosen.override)


def fleet_row(
    seen: Iterable[UnitSeen], address: str, prices: Prices, now: datetime, *, has_failed: bool
) -> FleetRow:
    """Return the row of an environment.

    Args:
        seen: its server first, then what stands beside it.
        address: where the server answers.
        prices: the price list.
        now: the time.
        has_failed: whether one of the server's machines ended unasked.
    """
    server, *others = seen
    units, ours, month = (server, *others), server.ours, Month.of(now)
    releases = releases_on(ours)
    windows = window_state((machine.config for machine in ours), now)
    state = state_of(server.live, ours, has_failed=has_failed)
    awake = tuple(server.awake[machine.id] for machine in ours)
    costs = (month_cost(prices, u.live.machines, u.live.volumes, u.awake, month) for u in units)
    disks = (used_percent(volume) for volume in server.live.volumes)
    return FleetRow(
        server.name,
        server.app,
        state,
        address=address if server.live.app else "",
        prefect=next((v for m in ours if (v := m.metadata.get(VERSION_KEY, ""))), ""),
        release=current(releases),
        releases=releases,
        drift=sum(len(unit.differences) for unit in units) if server.live.app else None,
        override=server.override,
        next_due=_next_due(ours, now) if state is State.ASLEEP else None,
        window_until=windows.is_open.end if windows and windows.is_open else None,
        awake_since=_since(awake),
        disk_percent=max((disk for disk in disks if disk is not None), default=None),
        cost=sum(costs, MonthCost()),
        awake=awake,
    )


def state_of(live: Live, ours: tuple[Machine, ...], *, has_failed: bool) -> State:
    """Return the state of a server, from its machines."""
    if live.app is None:
        return State.NEW
    if not ours:
        return State.EMPTY
    running = [machine for machine in ours if machine.state == "started"]
    if running:
        checks = (check.status for machine in running for check in machine.checks)
        return State.ILL if CRITICAL in checks else State.AWAKE
    if has_failed:
        return State.FAILED
    return State.ASLEEP if all(m.state in _AT_REST for m in ours) else State.CHANGING


def _next_due(ours: tuple[Machine, ...], now: datetime) -> NextDue | None:
    named, _ = next_due_of(ours)
    return as_of_now(named, now, ours) if named else None


def _since(awake: Iterable[AwakeTime]) -> datetime | None:
    since = [found.since for found in awake if found.since is not None]
    return datetime.fromtimestamp(min(since), UTC) if since else None
