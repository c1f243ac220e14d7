"""`roost status` without a name: all environments in one table, one page, or one JSON object."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import anyio

from roost.commands.drift import faulty, watched
from roost.errors import ExitCode, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.fleet import code_of, read_fleet
from roost.operations.fly_target import connect
from roost.plan.cost import read_prices
from roost.plan.fleet import FleetRow, State
from roost.report.fleet import fleet_document, fleet_notes, fleet_summary, fleet_table
from roost.report.fleet_page import fleet_page

REST_S = 15.0
"""The least time between two looks of `--watch`."""
REST_SHARE = 4
"""The rest is so many times as long as the look took, so that Fly is asked moderately."""
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Fleet:
    """All environments as they were at one time."""

    rows: tuple[FleetRow, ...]
    now: datetime


async def fleet(
    context: Context, name: str, *, html: Path | None, local: bool, as_json: bool
) -> ExitCode:
    """Show all environments. No server is asked or woken: everything is from Fly's API.

    With `html` they are also written as a page, which replaces the file as a whole.

    Raises:
        UsageError: one environment is named; the page is of all.
    """
    if name:
        raise UsageError(
            "--html writes a page of all environments, and goes with no name.", where="--html"
        )
    found = await look(context, local=local)
    if html:
        write_page(context, found, html)
    if as_json:
        context.out.print_json(json.dumps(document(context, found)))
    else:
        show(context, found)
    return code_of(found.rows)


async def watch(  # noqa: PLR0913 - the options of the command
    context: Context,
    name: str,
    *,
    html: Path | None,
    local: bool,
    as_json: bool,
    sleep: Sleep = anyio.sleep,
) -> ExitCode:
    """Show all environments again and again, until Ctrl-C.

    On a terminal each table takes the place of the one before; elsewhere they follow each other.

    Raises:
        UsageError: one environment is named, or JSON or a page is asked for.
    """
    if name or as_json or html:
        other = "name" if name else "--json" if as_json else "--html"
        raise UsageError(
            f"--watch shows all environments, and goes with no {other}.",
            where="--watch",
            advice=f"Run {Command('status', '--watch')}, or {Command('status', '--json')} in a loop.",
        )
    while True:
        began = time.monotonic()
        found = await look(context, local=local)
        took_s = time.monotonic() - began
        context.out.clear()  # does nothing unless it is a terminal
        context.out.print(f"{found.now:%Y-%m-%d %H:%M:%S} UTC, Ctrl-C ends it.")
        show(context, found)
        await sleep(max(REST_S, REST_SHARE * took_s))


async def look(context: Context, *, local: bool) -> Fleet:
    """Read all environments.

    Raises:
        UsageError: there is no environment file.
        MissingTokenError: there is no token of Fly.
    """
    loaded = watched(context, local=local)
    if not loaded.files and not loaded.faults:
        raise UsageError(
            f"There is no environment file in {context.environments} except the template's examples.",
            advice=f"Make one: {Command('init')}. To see the examples on the local Fly, add --local.",
        )
    errors = faulty(loaded.faults)
    broken = [FleetRow(name, "", State.ERROR, error=error) for name, error in errors.items()]
    files = [file for file in loaded.files if file.name not in errors]
    now = context.clients.now()
    rows: tuple[FleetRow, ...] = ()
    if files:
        async with connect(context, local=local) as target:
            rows = await read_fleet(context, target, files, now)
    return Fleet(tuple(sorted((*rows, *broken), key=lambda row: row.name)), now)


def document(context: Context, found: Fleet) -> dict[str, object]:
    """Return all environments as one JSON object, with the source of the prices."""
    prices = read_prices(context.prices)
    return fleet_document(found.rows, found.now, prices.source, str(prices.date))


def write_page(context: Context, found: Fleet, path: Path) -> None:
    """Write the page of all environments beside the file, and put it in its place.

    Raises:
        UsageError: the file cannot be written.
    """
    date = str(read_prices(context.prices).date)
    aside = path.with_name(f"{path.name}.new")
    try:
        aside.write_text(fleet_page(found.rows, found.now, date), encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.", where="--html"
        ) from error
    context.progress.print(f"Wrote {path}.", markup=False, soft_wrap=True)


def show(context: Context, found: Fleet) -> None:
    """Print the table, what needs a person, and the sum."""
    context.out.print(fleet_table(found.rows, context.out.width, found.now))
    for note in fleet_notes(found.rows):
        context.out.print(note, markup=False, soft_wrap=True)
    context.out.print(fleet_summary(found.rows, found.now), markup=False, soft_wrap=True)
