"""The command line of `./run story`: two projects' flows for an hour, asleep in between, and what it costs."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bench.errors import BenchError
from bench.program import run_program, tell
from bench.text import merged
from helpers.prefect_versions import NEWEST
from roost.environment.load import load_environment
from roost.environment.units import units
from roost.plan.budget import HOURS_PER_DAY
from roost.plan.cost import read_prices
from roost.plan.desired_state import desired_state
from story.month import DAYS, Manner, awake_hours, month_usd, office_and_night
from story.place import (
    APP,
    ENVIRONMENT,
    PROJECT,
    Server,
    Sleeping,
    built_image,
    log_line,
    never_asleep,
    sleeping,
)
from story.tables import AppHours, hour_rows, measured_min, run_rows
from story.timeline import Run, Span, spans
from story.timetable import HAND, LONGEST_MIN, NIGHT, SHORTEST_MIN, Timetable, next_minute

PAGE = PROJECT / "docs" / "benchmarks.md"
SETTLE_MIN = 6
"""So long before the story begins it is brought up, and falls asleep."""
ABOUT = """
Two projects, each a flow server, on one server; brought up from `roost init` and one `roost apply` on the
local Fly, in real time. Everything falls asleep, `idle_after: 1m`, and `roost tick` runs once a minute, as
a cron does. `office-hours` has four runs close to each other, `nightly` one alone, and `by-hand` is started
as the UI does, by one request while everything sleeps. Times are after the run was due. Beside it, at the
same time on the same computer, a stock server and two processes with `serve()` that never sleep.

- *woke*: who fell out of sleep for the run.
- *awake in a month*: 30 days of the schedules that the examples have: each full hour from 8 to 17 on
  working days, each night at 3, and one run a day by hand; each run as long awake as that of `nightly` was.
- *USD*: `deploy/prices.yaml`, in the region iad, with volume and stopped root file systems.
"""


def main(
    minutes: Annotated[
        int, typer.Option(min=SHORTEST_MIN, max=LONGEST_MIN, help="How long the story goes on.")
    ] = LONGEST_MIN,
    *,
    write: Annotated[bool, typer.Option("--write", help="Write docs/benchmarks.md too.")] = False,
) -> None:
    """Run the flows of two projects in real time, and report when each ran, who woke, and the cost.

    Raises:
        BenchError: a run of ours did not complete, or ran twice.
    """
    state = Path(os.environ.get("RUN_STATE") or PROJECT / ".run")
    cache = Path(os.environ.get("LOCALFLY_CACHE") or state / "images").absolute()
    image = built_image(cache)
    times = Timetable(next_minute(datetime.now(UTC) + timedelta(minutes=SETTLE_MIN)), minutes)
    tell(f"the story begins at {times.begins:%H:%M} and ends at {times.ends:%H:%M} UTC")
    with TemporaryDirectory(prefix="roost-story-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / "place"
        with ExitStack() as stack:
            side = stack.enter_context(sleeping(folder, cache, times))
            stock = stack.enter_context(never_asleep(folder, folder / "flows", image))
            told = play(side, stock, times)
    typer.echo(told)
    if write:
        text = PAGE.read_text("utf-8")
        PAGE.write_text(merged(text, [("story", told)], text.partition("\n## ")[0]), "utf-8")
        tell(f"Written: {PAGE.relative_to(PROJECT)}")


def play(side: Sleeping, stock: Server, times: Timetable) -> str:
    """Let the time of the story pass, and return its section."""
    with beside(side):
        for moment in times.hand:
            wait_until(moment)
            side.server.press_run(HAND)
            stock.press_run(HAND)
        wait_until(times.ends)
    runs, others = side.server.wait_ended(times), stock.wait_ended(times)
    found = spans(side.looks)
    check(runs, times)
    for each in side.ticks:
        if each["woken_s"] is not None or each["error"]:
            tell(f"tick: {log_line(each)}")
    return section(side, times, runs, others, found)


@contextmanager
def beside(side: Sleeping) -> Iterator[None]:
    """Watch the machines and tick, meanwhile.

    Raises:
        BenchError: the ticks or the watch ended early.
    """
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,)) for work in (side.watch, side.tick)]
    for thread in threads:
        thread.start()
    try:
        yield
        if not all(thread.is_alive() for thread in threads):
            raise BenchError("The watch or the tick ended with an error, see above.")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_until(moment: datetime) -> None:
    """Sleep until a time."""
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def check(runs: Sequence[Run], times: Timetable) -> None:
    """Hold the story to its promise: each run that was due ran once, and completed.

    Raises:
        BenchError: one did not.
    """
    wanted = len(times.office) + len(times.night) + len(times.hand)
    if len(runs) != wanted:
        raise BenchError(f"There are {len(runs)} runs, and {wanted} were due: {runs}")
    for run in runs:
        if run.state != "Completed":
            raise BenchError(f"The run of {run.deployment} is {run.state}.")
        if run.executions != 1:
            raise BenchError(f"The run of {run.deployment} began {run.executions} times.")


def section(
    side: Sleeping,
    times: Timetable,
    runs: Sequence[Run],
    others: Sequence[Run],
    found: Sequence[Span],
) -> str:
    """Return the section of the page."""
    title = f"## story: {times.minutes} minutes of two projects, asleep in between"
    how = (
        f"`./run story --minutes {times.minutes}`, {times.begins:%Y-%m-%d}, "
        f"{len(os.sched_getaffinity(0))} cores, load average {statistics.median(side.loads):.0f} "
        f"({min(side.loads):.0f} to {max(side.loads):.0f}), Prefect {NEWEST}; one run."
    )
    return "\n\n".join(
        [
            title,
            how,
            run_rows(runs, others, found, APP),
            hour_rows(app_hours(side, times, runs, found)),
            ABOUT.strip(),
        ]
    )


def app_hours(
    side: Sleeping, times: Timetable, runs: Sequence[Run], found: Sequence[Span]
) -> Iterator[AppHours]:
    """Return the hours and the costs of each app."""
    prices = read_prices(PROJECT / "deploy" / "prices.yaml")
    night = next(run for run in runs if run.deployment == NIGHT)
    dues = office_and_night(times.begins.replace(hour=0, minute=0))
    server = load_environment(ENVIRONMENT, side.roost.environments)
    for unit in units(server):
        wanted = desired_state(unit, "none")
        app = unit.environment.app
        mine = (
            dues[unit.flow.entry.name]
            if unit.flow
            else [at for some in dues.values() for at in some]
        )
        hours = awake_hours(mine, manner(found, app if not unit.flow else f"{APP}-nightly", night))
        yield AppHours(
            app,
            measured_min(found, app, times),
            hours,
            month_usd(wanted, prices, hours / DAYS),
            month_usd(wanted, prices, HOURS_PER_DAY),
        )


def manner(found: Sequence[Span], app: str, run: Run) -> Manner:
    """Return how long an app was awake around a run.

    Raises:
        BenchError: it was not, so something else than the run kept it awake.
    """
    around = [s for s in found if s.app == app and run.ended and s.begins <= run.ended <= s.ends]
    if len(around) != 1:
        raise BenchError(f"{app} was not awake when the run of {run.deployment} ended.")
    [span] = around
    before, after = run.due - span.begins, span.ends - run.due
    return Manner(before.total_seconds(), after.total_seconds())


if __name__ == "__main__":
    run_program("story", main)
