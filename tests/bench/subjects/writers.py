"""Measure writes to SQLite with one writer and with many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.lab import Lab, Side, both
from bench.load import (
    ANSWER_LIMIT_S,
    DUE_RUNS,
    MARK_AFTER_S,
    MARK_LIMIT_S,
    MARKING,
    Due,
    Load,
    put_load,
    put_load_while_due,
)
from bench.process import Running
from bench.stats import Aim, Limit, Row, Sample, Table, Unit

WRITERS = (1, 4, 8)
ABOUT = f"""
Each writer has one connection and writes flow runs as fast as it is answered: create, RUNNING, five
log lines, COMPLETED. Nothing is repeated: a run ends at the first request that is not
answered well. Each cell is a new server on a copy of a used SQLite database, asked directly,
without a proxy.

- *answered well*: the share of all requests that got a 2xx. No answer within {ANSWER_LIMIT_S:g} s
  counts as not answered; a client of Prefect would wait a minute, and repeat.
- *rate*: requests answered well in a second.
- *p95*: the time 95 % of requests took at most, failed ones too, cut at {ANSWER_LIMIT_S:g} s.
- *silence of health*: the longest time without a good answer from `/api/health`, asked over a
  connection of its own 50 ms after its last answer. It cannot be longer than writers were at it:
  where stock has some seconds, health did not answer all the while. Fly's check fails after 5 s.

The last rows are another cell: while the most writers write, {DUE_RUNS} runs are due that nobody starts, and
Prefect is told to mark them late after {MARK_AFTER_S} s and to look each second.

- *late marks*: how long after that time 95 % of them were marked, cut at {MARK_LIMIT_S:g} s after the writers.
- *locked*: lines of the server's log that say "database is locked", with
  `PREFECT_SERVER_LOG_RETRYABLE_ERRORS` on, as Prefect else hides them.
"""
LOCKED = "database is locked"
TELL_LOCKED = {"PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "true"}

Cell = tuple[int, Side]


def measure(lab: Lab) -> Table:
    """Run each load on both servers alternately."""
    loads: dict[Cell, list[Load]] = defaultdict(list)
    marked: dict[Side, list[Marked]] = defaultdict(list)
    for number in range(1, lab.runs + 1):
        for writers in WRITERS:
            with both(lab) as servers:
                for side, server in servers.items():
                    load = put_load(server.program.url, writers, lab.seconds)
                    loads[writers, side].append(load)
                    lab.tell(
                        f"  {number}/{lab.runs} {writers} writers, {side.value}: {brief(load)}"
                    )
        for side, found in measure_marks(lab).items():
            marked[side].append(found)
            lab.tell(f"  {number}/{lab.runs} late marks, {side.value}: {found}")
    table = (*rows(loads), *mark_rows(marked))
    return Table("writers", "SQLite under writers", ABOUT, table)


@dataclass(frozen=True)
class Marked:
    """The result of due runs under load: when they were marked, and what was logged."""

    due: Due
    locked_lines: int

    def __str__(self) -> str:
        """Return the result in one line."""
        return f"p95 {self.due.p95_s():.2f} s, {self.locked_lines} lines of locked"


def measure_marks(lab: Lab) -> dict[Side, Marked]:
    """Run the highest load on both servers, one after the other, while runs are due."""
    with both(lab, {**MARKING, **TELL_LOCKED}) as servers:
        return {side: mark(server, lab.seconds) for side, server in servers.items()}


def mark(server: Running, seconds: float) -> Marked:
    """Run the highest load on one server while runs are due."""
    due = put_load_while_due(server.program.url, max(WRITERS), seconds)
    log = server.program.log.read_text("utf-8", "replace")
    return Marked(due, sum(LOCKED in line for line in log.splitlines()))


def mark_rows(marked: dict[Side, list[Marked]]) -> Iterable[Row]:
    """Return rows that compare late marks and log lines."""
    ours, stock = marked[Side.OURS], marked[Side.STOCK]
    name = f"{max(WRITERS)} writers, runs due"
    late = [Sample(tuple(found.due.p95_s() for found in side)) for side in (ours, stock)]
    lines = [Sample(tuple(float(found.locked_lines) for found in side)) for side in (ours, stock)]
    yield Row(f"{name}: late marks", Unit.SECONDS, late[0], late[1])
    yield Row(f"{name}: locked", Unit.LINES, lines[0], lines[1], Limit(Aim.AT_MOST, 0))


def brief(load: Load) -> str:
    """Return a load's results in one line."""
    return (
        f"{load.well_share():.1f} % of {len(load.answers)} well, {load.rate():.1f}/s, "
        f"p95 {load.p95_ms():.0f} ms, silence {load.silence_s():.2f} s, "
        f"failures by status {load.failures()}"
    )


def rows(loads: dict[Cell, list[Load]]) -> Iterable[Row]:
    """Return rows that compare each figure."""
    for writers in WRITERS:
        ours, stock = loads[writers, Side.OURS], loads[writers, Side.STOCK]
        name = f"{writers} writer{'s' if writers > 1 else ''}"
        limit = Limit(Aim.AT_LEAST, 99.5) if writers == max(WRITERS) else None
        for what, unit, figure, aim in (
            ("answered well", Unit.PERCENT, Load.well_share, limit),
            ("rate", Unit.PER_SECOND, Load.rate, None),
            ("p95", Unit.MILLISECONDS, Load.p95_ms, None),
            ("silence of health", Unit.SECONDS, Load.silence_s, None),
        ):
            yield Row(f"{name}: {what}", unit, sample(ours, figure), sample(stock, figure), aim)


def sample(loads: Iterable[Load], figure: Callable[[Load], float]) -> Sample:
    """Return one figure over several loads."""
    return Sample(tuple(figure(load) for load in loads))
