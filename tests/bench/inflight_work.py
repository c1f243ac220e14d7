"""One client process of the subject `inflight`: a real flow that records its work in a file.

Runs under the Python of Prefect's image, alone: `python inflight_work.py ROLE NAME FOLDER
ENDS_AFTER_S`. In FOLDER it writes its journal, and polls for the files `soon` and `change`, which
signal the phase of the measurement.
"""

# mypy: ignore-errors
# A separate program in Prefect's environment; the types session has no Prefect.

import os
import sys
import time
from pathlib import Path

ROLE, NAME, FOLDER, ENDS_AFTER_S = sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])
MAPPED = int(os.environ.get("BENCH_MAPPED", "200"))
LIMIT_S = 240.0

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.concurrency.sync import concurrency  # noqa: E402
from prefect.events import emit_event  # noqa: E402
from prefect.flow_runs import pause_flow_run  # noqa: E402
from prefect.task_runners import ThreadPoolTaskRunner  # noqa: E402


def note(line):
    """Append a line to the journal, which outlives this process."""
    with (FOLDER / f"{NAME}.journal").open("a") as journal:
        journal.write(f"{line}\n")


def act(name, number):
    """Log a line and emit an event, and record both."""
    get_run_logger().info("bench %s %s", name, number)
    emit_event(
        "bench.tick",
        resource={"prefect.resource.id": f"bench.{name}"},
        payload={"name": f"{name} {number}"},
    )
    note(f"done {name} {number}")


@task(task_run_name="{name} {number}")
def tick(name, number):
    """Run a short task."""
    act(name, number)


@task(task_run_name="{name} {number}")
def slow_tick(name, number):
    """Run a task of some tenths of a second."""
    act(name, number)
    time.sleep(0.3)


def is_over():
    """Return whether the change began long enough ago to stop."""
    change = FOLDER / "change"
    return change.exists() and time.time() - change.stat().st_mtime >= ENDS_AFTER_S


def tick_until_over():
    """Run a task each second until the time is over."""
    began, number = time.monotonic(), 0
    while not is_over() and time.monotonic() - began < LIMIT_S:
        tick(NAME, number)
        number += 1
        time.sleep(1)


@flow(flow_run_name=NAME)
def steady():
    """Run a task each second until some time after the change."""
    tick_until_over()


@flow(flow_run_name=NAME)
def slot():
    """Run a task each second while taking a concurrency slot."""
    with concurrency("bench", occupy=1, strict=True):
        tick_until_over()


@flow(flow_run_name=NAME)
def paused():
    """Pause, and continue once the run is resumed."""
    tick(NAME, 0)
    pause_flow_run(timeout=600, poll_interval=2)
    tick(NAME, 1)


@flow(flow_run_name=NAME, task_runner=ThreadPoolTaskRunner(max_workers=8))
def mapped():
    """Map many tasks, starting shortly before the change."""
    tick(NAME, "first")
    began = time.monotonic()
    while not (FOLDER / "soon").exists() and time.monotonic() - began < LIMIT_S:
        time.sleep(0.1)
    slow_tick.map([NAME] * MAPPED, list(range(MAPPED))).result()


if __name__ == "__main__":
    {"steady": steady, "slot": slot, "paused": paused, "mapped": mapped}[ROLE]()
    note("end")
