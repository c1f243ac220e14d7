"""Measure how much of the volume flow runs take, and how much is freed with their events."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from bench.errors import BenchError
from bench.lab import AUTH, LOGIN, Lab, Side, program
from bench.process import Running, running
from bench.stats import Row, Sample, Table, Unit

FLOW_RUNS = 100
SMALLEST_FLOW_RUNS = 2
TASKS = 3
LIMIT_S = 1200
SETTLE_S = 6.0
"""Longer than Prefect keeps events in memory before it writes them."""
EVENTS = ("event_resources", "events")
ABOUT = f"""
Prefect's own client runs {FLOW_RUNS} flows of {TASKS} tasks, ten log lines each, against one server; MB of
2**20 bytes, counted in pages of the database that hold something, and given for 1,000 runs.

- *all*: while everything is kept.
- *once the events are gone*: what is left when `database.retention.events` is over.
- *once logs are gone too*: the flow runs, task runs and their states alone.
- *once nothing is left*: flow runs deleted as well, as `database.retention.flow_runs` does it.
"""
_FLOWS = """
import sys
from prefect import flow, get_run_logger, task

@task
def step(number):
    get_run_logger().info("step %d is done", number)

@flow
def trial(tasks):
    get_run_logger().info("begins")
    for number in range(tasks):
        step(number)
    get_run_logger().info("ends")

for _ in range(int(sys.argv[1])):
    trial(int(sys.argv[2]))
"""
_STAGES = {
    "all": (),
    "once the events are gone": EVENTS,
    "once logs are gone too": (*EVENTS, "log"),
    "once nothing is left": (*EVENTS, "log", "flow_run"),
}


def measure(lab: Lab) -> Table:
    """Run flows on a new server, and measure its database and parts of it."""
    found: dict[str, list[float]] = {stage: [] for stage in _STAGES}
    count = SMALLEST_FLOW_RUNS if lab.smallest else FLOW_RUNS
    for number in range(1, lab.runs + 1):
        home = lab.used_home(Side.OURS)
        database = home / "prefect.db"
        with running(program(lab, Side.OURS, home)) as server:
            server.wait_healthy()
            before = used_bytes(database)
            run_flows(lab, server, count)
            time.sleep(SETTLE_S)
            kept = copy_of(database, lab.folder("grown"))
        for stage, tables in _STAGES.items():
            delete_rows(kept, tables)
            grown = max(0, used_bytes(kept) - before)
            found[stage].append(1000 * grown / count / 2**20)
        lab.tell(f"  {number}/{lab.runs} {found['all'][-1]:.1f} MB for 1,000 flow runs")
    rows = (Row(stage, Unit.MEGABYTES, Sample(tuple(values))) for stage, values in found.items())
    return Table("growth", "growth for 1,000 flow runs", ABOUT, tuple(rows))


def run_flows(lab: Lab, server: Running, count: int) -> None:
    """Run flows with Prefect's own client until they end.

    Raises:
        BenchError: one failed; has its output.
    """
    done = subprocess.run(
        [lab.image.bin / "python", "-c", _FLOWS, str(count), str(TASKS)],
        env={
            **lab.environ(lab.folder("client")),
            "PREFECT_API_URL": f"{server.program.url}/api",
            "PREFECT_API_AUTH_STRING": LOGIN,
            "PREFECT_LOGGING_TO_CONSOLE": "0",
            AUTH: "",
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"flows failed: {done.stderr[-2000:]}")


def copy_of(database: Path, folder: Path) -> Path:
    """Return a consistent copy of a database in use."""
    copy = folder / database.name
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    shutil.copymode(database, copy)
    return copy


def delete_rows(database: Path, tables: tuple[str, ...]) -> None:
    """Delete all rows of tables, and the rows that depend on them."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for table in tables:
            connection.execute(f'DELETE FROM "{table}"')


def used_bytes(database: Path) -> int:
    """Return how many bytes of a database are used, without free pages."""
    with closing(sqlite3.connect(database)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    used: int = (pages - free) * size
    return used
