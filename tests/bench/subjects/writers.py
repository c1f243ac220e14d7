"""What SQLite writers get from a server, one at a time and many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from bench.lab import Lab, Side, both
from bench.load import ANSWER_LIMIT_S, Load, put_load
from bench.stats import Aim, Limit, Row, Sample, Table, Unit

WRITERS = (1, 4, 8)
ABOUT = f"""
Each writer has one connection and writes flow runs as fast as it is answered: create, RUNNING, five
log lines, COMPLETED. Nothing is repeated: a run is given up at the first request that is not
answered well. Each cell is a new server on a copy of a used SQLite database, asked directly,
without a proxy.

- *answered well*: the share of all requests that got a 2xx. No answer within {ANSWER_LIMIT_S:g} s
  counts as not answered; a client of Prefect would wait a minute, and repeat.
- *rate*: requests answered well in a second.
- *p95*: the time 95 % of requests took at most, failed ones too, cut at {ANSWER_LIMIT_S:g} s.
- *silence of health*: the longest time without a good answer from `/api/health`, asked over a
  connection of its own 50 ms after its last answer. It cannot be longer than writers were at it:
  where stock has some seconds, it was silent all along. Fly's check fails after 5 s.
"""

Cell = tuple[int, Side]


def measure(lab: Lab) -> Table:
    """Put each load on both sides, in turns."""
    loads: dict[Cell, list[Load]] = defaultdict(list)
    for number in range(1, lab.runs + 1):
        for writers in WRITERS:
            with both(lab) as servers:
                for side, server in servers.items():
                    load = put_load(server.program.url, writers, lab.seconds)
                    loads[writers, side].append(load)
                    lab.tell(
                        f"  {number}/{lab.runs} {writers} writers, {side.value}: {brief(load)}"
                    )
    return Table("writers", "SQLite under writers", ABOUT, tuple(rows(loads)))


def brief(load: Load) -> str:
    """Give a load in a line."""
    return (
        f"{load.well_share():.1f} % of {len(load.answers)} well, {load.rate():.1f}/s, "
        f"p95 {load.p95_ms():.0f} ms, silence {load.silence_s():.2f} s, "
        f"failures by status {load.failures()}"
    )


def rows(loads: dict[Cell, list[Load]]) -> Iterable[Row]:
    """Set ours beside stock, figure by figure."""
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
    """Give one figure of several loads."""
    return Sample(tuple(figure(load) for load in loads))
