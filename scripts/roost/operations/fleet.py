"""Read all environments from Fly at once, for one table. No server is asked, so none is woken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import anyio

from roost.environment.files import EnvironmentFile
from roost.environment.rehearsal import rehearsed
from roost.environment.units import units
from roost.errors import ExitCode, FlyError, RoostError
from roost.fly.models import Volume
from roost.operations.budgets import with_older_events
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.image_parts import ImageReferences
from roost.operations.server_state import exit_notes, last_death, verdict_notes
from roost.plan.app_address import app_address
from roost.plan.cost import Prices, read_prices
from roost.plan.fleet import NEED_A_PERSON, FleetRow, State, UnitSeen, fleet_row, unit_seen
from roost.plan.live import Listed, read_live
from roost.plan.month_cost import Month
from roost.plan.releases import current, releases_on
from roost.report.fleet import attention

APPS_AT_ONCE = 12
"""Of each app three requests are on their way at once: 36 connections. Fly limits the calls for one app, and
publishes no limit for their sum."""


def code_of(rows: Iterable[FleetRow]) -> ExitCode:
    """Return ERROR if an environment needs a person or could not be read."""
    return ExitCode.ERROR if any(r.state in NEED_A_PERSON for r in rows) else ExitCode.DONE


async def read_fleet(
    context: Context, target: Target, files: Sequence[EnvironmentFile], now: datetime
) -> tuple[FleetRow, ...]:
    """Return the row of each environment, in the order of the files; a failure is part of a row."""
    prices = read_prices(context.prices)
    urls = await target.local.app_urls() if target.local else None
    images = ImageReferences(context)
    at_once = anyio.CapacityLimiter(APPS_AT_ONCE)
    rows: dict[str, FleetRow] = {}
    listed = await _listed(target, files)

    async def one(file: EnvironmentFile) -> None:
        app = file.environment.app
        try:
            seen = [await _look(images, target, unit, now, at_once, listed) for unit in units(file)]
        except RoostError as error:
            rows[file.name] = FleetRow(file.name, app, State.ERROR, error=error)
            return
        public = file.environment.access.public
        address = app_address(app, public=public) if urls is None else urls.get(app, "")
        rows[file.name] = row_of(file, seen, address, prices, now)

    async with anyio.create_task_group() as group:
        for file in files:
            group.start_soon(one, file)
    return tuple(rows[file.name] for file in files)


def row_of(
    file: EnvironmentFile, seen: Sequence[UnitSeen], address: str, prices: Prices, now: datetime
) -> FleetRow:
    """Return the row of an environment, with the notes on failed machines and unproved releases."""
    failed = any(last_death(machine) for machine in seen[0].ours)
    row = fleet_row(seen, address, prices, now, has_failed=failed)
    budget = file.environment.budget
    row = replace(row, budget_usd=budget.monthly_usd if budget else None)
    return row.with_notes((*(note for unit in seen for note in _notes(unit)), *attention(row, now)))


def _notes(unit: UnitSeen) -> Iterable[str]:
    yield from exit_notes(unit.ours)
    yield from verdict_notes(unit.name, current(releases_on(unit.ours)))


async def _listed(target: Target, files: Iterable[EnvironmentFile]) -> Mapping[str, Listed]:
    """Return the apps of the files' organizations with their volumes, by name: two calls for each.

    An organization with one file, or that this token may not list, is left out: its apps are read one
    by one.
    """
    found: dict[str, Listed] = {}

    async def read(organization: str) -> None:
        try:
            apps = await target.fly.list_apps(organization)
            volumes = await target.fly.list_org_volumes(organization)
        except FlyError:
            return
        of_app: dict[str, list[Volume]] = {}
        for volume in volumes:
            of_app.setdefault(volume.app_name, []).append(volume)
        found.update((app.name, Listed(app, tuple(of_app.get(app.name, ())))) for app in apps)

    counts = Counter(file.environment.organization for file in files)
    async with anyio.create_task_group() as tasks:
        for organization, count in counts.items():
            if count > 1:
                tasks.start_soon(read, organization)
    return found


async def _look(  # noqa: PLR0913, PLR0917 - what one app is read with
    images: ImageReferences,
    target: Target,
    file: EnvironmentFile,
    now: datetime,
    at_once: anyio.CapacityLimiter,
    listed: Mapping[str, Listed],
) -> UnitSeen:
    """Read one app of an environment.

    Raises:
        RoostError: Fly refused, or a file that its image is made of cannot be read.
    """
    if target.local is not None:
        file = rehearsed(file)
    image = images.of(file)
    async with at_once:
        app = file.environment.app
        live = await read_live(target.fly, app, listed.get(app))
        live = await with_older_events(target.fly, live, Month.of(now).begin)
    return unit_seen(file, image, live, now)
