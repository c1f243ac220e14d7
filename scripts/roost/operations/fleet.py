"""Read all environments from Fly at once, for one table. No server is asked, so none is woken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import anyio

from roost.environment.files import EnvironmentFile
from roost.environment.rehearsal import rehearsed
from roost.environment.units import units
from roost.errors import ExitCode, FlyError, RoostError
from roost.fly.models import Machine
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.image_parts import ImageReferences
from roost.operations.server_state import exit_notes, last_death, verdict_notes
from roost.plan.app_address import app_address
from roost.plan.awake_time import reaches_back
from roost.plan.cost import Prices, read_prices
from roost.plan.fleet import NEED_A_PERSON, FleetRow, State, UnitSeen, fleet_row, unit_seen
from roost.plan.live import Live, read_live
from roost.plan.month_cost import Month
from roost.plan.releases import current, releases_on
from roost.report.fleet import attention

APPS_AT_ONCE = 12
"""Of each app up to four requests are on their way at once."""


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

    async def one(file: EnvironmentFile) -> None:
        app = file.environment.app
        try:
            seen = [await _look(images, target, unit, now, at_once) for unit in units(file)]
        except RoostError as error:
            rows[file.name] = FleetRow(file.name, app, State.ERROR, error=error)
            return
        public = file.environment.access.public
        address = app_address(app, public=public) if urls is None else urls.get(app, "")
        rows[file.name] = row_of(seen, address, prices, now)

    async with anyio.create_task_group() as group:
        for file in files:
            group.start_soon(one, file)
    return tuple(rows[file.name] for file in files)


def row_of(seen: Sequence[UnitSeen], address: str, prices: Prices, now: datetime) -> FleetRow:
    """Return the row of an environment, with the notes on failed machines and unproved releases."""
    failed = any(last_death(machine) for machine in seen[0].ours)
    row = fleet_row(seen, address, prices, now, has_failed=failed)
    return row.with_notes((*(note for unit in seen for note in _notes(unit)), *attention(row, now)))


def _notes(unit: UnitSeen) -> Iterable[str]:
    yield from exit_notes(unit.ours)
    yield from verdict_notes(unit.name, current(releases_on(unit.ours)))


async def _look(
    images: ImageReferences,
    target: Target,
    file: EnvironmentFile,
    now: datetime,
    at_once: anyio.CapacityLimiter,
) -> UnitSeen:
    """Read one app of an environment.

    Raises:
        RoostError: Fly refused, or a file that its image is made of cannot be read.
    """
    if target.local is not None:
        file = rehearsed(file)
    image = images.of(file)
    async with at_once:
        live = await read_live(target.fly, file.environment.app)
        live = await _with_older_events(target, file.environment.app, live, Month.of(now).begin)
    return unit_seen(file, image, live, now)


async def _with_older_events(target: Target, app: str, live: Live, begin: float) -> Live:
    """Return the state with more events of each machine whose list does not reach back to a time.

    Where they cannot be read, those of the list stay, and the cost is at least what they show.
    """

    async def complete(machine: Machine) -> Machine:
        if reaches_back(machine, begin):
            return machine
        try:
            events = await target.fly.list_events(app, machine.id)
        except FlyError:
            return machine
        return machine.model_copy(update={"events": events})

    return replace(live, machines=tuple([await complete(machine) for machine in live.machines]))
