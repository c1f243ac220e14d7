"""Measure a server's memory, idle and after work."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from bench.lab import SETTLE_S, Lab, Side, both
from bench.load import make_flow, write_runs
from bench.process import Running
from bench.stats import Row, Sample, Table, Unit

FLOW_RUNS = 500
SMALLEST_FLOW_RUNS = 5
IDLE_S = 5.0
ABOUT = f"""
Resident memory of the whole process tree, in MB of 2**20 bytes; pages that are shared count for each
process that has them. Both servers run at once, on copies of a used SQLite database.

- *idle*: {IDLE_S:g} s after the first good answer of `/api/health`.
- *after {FLOW_RUNS} flow runs*: created, RUNNING, five log lines, COMPLETED, one after the other by
  one writer, the most that stock can serve.
- *answered well*: the share of the requests of these runs, to show that both did the work.
"""


def measure(lab: Lab) -> Table:
    """Measure both servers before and after the same work."""
    found: dict[tuple[Side, str], list[float]] = defaultdict(list)
    for number in range(1, lab.runs + 1):
        with both(lab) as servers:
            time.sleep(IDLE_S - SETTLE_S)
            for side, server in servers.items():
                found[side, "idle"].append(server.resident_mb())
            count = SMALLEST_FLOW_RUNS if lab.smallest else FLOW_RUNS
            for side, share in work(servers, count).items():
                found[side, "well"].append(share)
                found[side, "after"].append(servers[side].resident_mb())
        told = ", ".join(f"{s.value} {what} {v[-1]:.1f}" for (s, what), v in found.items())
        lab.tell(f"  {number}/{lab.runs} {told}")
    return table({key: Sample(tuple(values)) for key, values in found.items()})


def table(found: dict[tuple[Side, str], Sample]) -> Table:
    """Return the table of ours and stock."""

    def row(what: str, unit: Unit, key: str) -> Row:
        return Row(what, unit, found[Side.OURS, key], found[Side.STOCK, key])

    rows = (
        row("idle", Unit.MEGABYTES, "idle"),
        row(f"after {FLOW_RUNS} flow runs", Unit.MEGABYTES, "after"),
        row("answered well", Unit.PERCENT, "well"),
    )
    return Table("memory", "resident memory", ABOUT, rows)


def work(servers: dict[Side, Running], count: int) -> dict[Side, float]:
    """Write flow runs on all servers at once; return the percentages of successful requests."""
    over = threading.Event()
    with ThreadPoolExecutor(len(servers)) as pool:
        try:
            shares = {
                side: pool.submit(write_all, server.program.url, count, over)
                for side, server in servers.items()
            }
            return {side: share.result() for side, share in shares.items()}
        finally:
            over.set()  # after Ctrl-C too: no thread goes on


def write_all(url: str, count: int, over: threading.Event) -> float:
    """Write flow runs on one server; return the percentage of successful requests."""
    left = iter(range(count))

    def go_on() -> bool:
        return not over.is_set() and next(left, None) is not None

    answers = write_runs(url, make_flow(url), go_on)
    return 100 * sum(answer.well for answer in answers) / len(answers)
