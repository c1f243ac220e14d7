"""The flows of the part `runs`: each execution is written into a journal that outlives its process.

It runs in the image of a flow server, with Prefect: `python serve_flows.py`. `CHAOS_JOURNAL` names
the folder with one file for each run. `forked_engine.py` is beside it.
"""

# mypy: ignore-errors
# A separate program in Prefect's environment; the types session has no Prefect.

import fcntl
import os
import time
from pathlib import Path

from forked_engine import fork_engines
from prefect import flow, serve
from prefect.runtime import flow_run

JOURNAL = Path(os.environ["CHAOS_JOURNAL"])
RETRIES = 5
LOCKS = []


def execute(seconds):
    """Write that this process executes the run, work, and write that it did."""
    path = JOURNAL / str(flow_run.id)
    lock = path.with_suffix(".lock").open("w")
    LOCKS.append(lock)  # held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note(path, "overlap")
    note(path, "begin")
    with (JOURNAL / "begun").open("a") as count:
        count.write(".")
    time.sleep(seconds)
    note(path, "end")


def note(path, word):
    """Append a line in one write."""
    with path.open("a") as journal:
        journal.write(f"{word} {os.getpid()}\n")


@flow
def inner(seconds: float = 0.2):
    """Be called by another flow."""
    execute(seconds)


@flow
def once(seconds: float = 0.2):
    """Run once: it must not be executed again."""
    execute(seconds)


@flow(retries=RETRIES)
def again(seconds: float = 0.2):
    """Run again after its machine died."""
    execute(seconds)


@flow(retries=RETRIES)
def outer(seconds: float = 0.2):
    """Call a flow in this process."""
    inner(seconds)
    execute(seconds)


if __name__ == "__main__":
    fork_engines()
    serve(
        *(each.to_deployment(name="chaos") for each in (once, again, outer)),
        pause_on_shutdown=False,
        limit=8,
    )
