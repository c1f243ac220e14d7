"""Measure what is lost with a replicated volume, and what replication costs."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.client import Client, basic
from bench.errors import BenchError
from bench.lab import LOGIN, SETTLE_S, Lab, Side, program
from bench.load import make_flow
from bench.process import Running, running
from bench.stats import Row, Sample, Table, Unit
from helpers.bucket import KEYS, Bucket

WRITERS = 4
IDLE_S = 60.0
SMALLEST_IDLE_S = 1.0
END_LIMIT_S = 20.0
ABOUT = f"""
`database.replicate` with its `sync_interval` of 1 s: the real Litestream, the real Prefect server, a
bucket served by moto on this computer. {WRITERS} writers create flow runs as fast as they are answered;
in the midst of it comes the end, the volume is gone, and Litestream restores from the bucket. A write
is lost if it was answered before the end and is not in the restored database.

- *machine lost*: server and Litestream are killed (SIGKILL) at one moment, with the volume. *Oldest*
  is how long before the end the oldest lost write had been answered: the loss window.
- *server killed*: as when memory runs out. Litestream outlives it, sends the rest, and ends.
- *stopped in order*: SIGTERM in the midst of the writes.
- *requests*: what the bucket was asked for in a minute, under the load and by a server that is awake
  with nobody there, {IDLE_S:g} s each round. PUT and LIST are what a bill counts.
- *memory*: resident memory of Litestream after the load.
- *start*: from the start of the process to the first good answer of `/api/health`, in turns.
"""


@dataclass(frozen=True)
class Write:
    """An acknowledged flow run and its time (monotonic)."""

    run: str
    at: float


@dataclass(frozen=True)
class Loss:
    """What one end of a server lost."""

    written: int
    lost: int
    oldest_s: float


def measure(lab: Lab) -> Table:
    """End servers in three ways alternately, and count what is restored."""
    found: dict[str, list[float]] = defaultdict(list)
    with closing(Bucket(lab.folder("bucket"))) as bucket:
        for number in range(1, lab.runs + 1):
            found["start without"].append(start_alone(lab))
            for name, end in ENDS.items():
                loss = trial(lab, bucket, f"{name.replace(' ', '-')}-{number}", end, found)
                found[f"{name}: lost"].append(loss.lost)
                found[f"{name}: oldest"].append(loss.oldest_s)
                lab.tell(f"  {number}/{lab.runs} {name}: {loss}")
    return table({name: Sample(tuple(values)) for name, values in found.items()})


def trial(
    lab: Lab,
    bucket: Bucket,
    place: str,
    end: Callable[[Running], None],
    found: dict[str, list[float]],
) -> Loss:
    """Write rows, end the server meanwhile, delete the volume, restore, and count."""
    with copied(lab, bucket, place) as (server, healthy_s):
        found["start with"].append(healthy_s)
        if end is lose_machine:
            idle_s = SMALLEST_IDLE_S if lab.smallest else IDLE_S
            found["idle"].append(requests(bucket, idle_s, lambda: time.sleep(idle_s)))
        before, began = paid(bucket), time.monotonic()
        with writing(server.program.url) as writes:
            time.sleep(lab.seconds)
            minutes = (time.monotonic() - began) / 60
            found["busy"].append((paid(bucket) - before) / minutes)
            litestream = child_of(server)
            found["memory"].append(litestream.memory_info().rss / 2**20)
            ended = time.monotonic()
            end(server)
            with suppress(psutil.TimeoutExpired):
                litestream.wait(END_LIMIT_S)
        back = read_runs(bucket.fetch(place, lab.folder("restored") / "prefect.db"))
    # A write that was acknowledged after the end began does not count for a kill, but it counts
    # for an orderly stop, in which the server still acknowledges writes.
    answered = [write for write in writes if write.at < ended or end is not lose_machine]
    lost = [write for write in answered if write.run not in back]
    oldest = max((ended - write.at for write in lost), default=0.0)
    return Loss(len(answered), len(lost), oldest)


@contextmanager
def copied(lab: Lab, bucket: Bucket, place: str) -> Iterator[tuple[Running, float]]:
    """Start a replicated server, and wait until it has settled."""
    extra = {
        "ROOST_REPLICA_URL": bucket.url(place),
        "ROOST_REPLICA_ENDPOINT": bucket.endpoint,
        "ROOST_REPLICA_REGION": "us-east-1",
        **KEYS,
    }
    with running(program(lab, Side.OURS, lab.used_home(Side.OURS), extra)) as server:
        healthy_s = server.wait_healthy()
        time.sleep(SETTLE_S)
        yield server, healthy_s


def start_alone(lab: Lab) -> float:
    """Start a server without a replica; return the seconds until it is healthy."""
    with running(program(lab, Side.OURS, lab.used_home(Side.OURS))) as server:
        return server.wait_healthy()


def child_of(server: Running) -> psutil.Process:
    """Return Litestream's process.

    Raises:
        BenchError: it does not run.
    """
    for process in psutil.Process(server.process.pid).children(recursive=True):
        if process.name() == "litestream":
            return process
    raise BenchError("Litestream does not run.")


def lose_machine(server: Running) -> None:
    """Kill all processes at once; they are frozen first, so that none sees another's end."""
    main = psutil.Process(server.process.pid)
    processes = [main, *main.children(recursive=True)]
    for signal_number in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            process.send_signal(signal_number)


def kill_server(server: Running) -> None:
    """Kill only the server."""
    server.process.kill()


def stop(server: Running) -> None:
    """Stop the server with SIGTERM."""
    server.process.terminate()
    server.process.wait(END_LIMIT_S)


ENDS: Mapping[str, Callable[[Running], None]] = {
    "machine lost": lose_machine,
    "server killed": kill_server,
    "stopped in order": stop,
}


@contextmanager
def writing(url: str) -> Iterator[list[Write]]:
    """Write flow runs while the block runs; yield the growing list."""
    flow, over = make_flow(url), threading.Event()
    writes: list[Write] = []

    def write() -> None:
        body = {"flow_id": flow, "state": {"type": "PENDING"}}
        with Client(url, basic(LOGIN), limit_s=5) as client:
            while not over.is_set():
                answer = client.post("/api/flow_runs/", body)
                if answer.well:
                    writes.append(Write(answer.json()["id"], answer.ended))
                else:
                    over.wait(0.01)

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in range(WRITERS):
            pool.submit(write)
        try:
            yield writes
        finally:
            over.set()


def read_runs(database: Path) -> set[str]:
    """Return the flow runs in a database."""
    with closing(sqlite3.connect(database)) as connection:
        return {run for (run,) in connection.execute("SELECT id FROM flow_run")}


def requests(bucket: Bucket, seconds: float, meanwhile: Callable[[], None]) -> float:
    """Return the paid requests per minute during an activity."""
    before = paid(bucket)
    meanwhile()
    return (paid(bucket) - before) * 60 / seconds


def paid(bucket: Bucket) -> int:
    """Return the number of requests so far that are billed one by one."""
    calls = bucket.calls()
    return calls["PUT"] + calls["LIST"] + calls["POST"]


def table(found: Mapping[str, Sample]) -> Table:
    """Return the table of the figures."""
    losses = [
        row
        for name in ENDS
        for row in (
            Row(f"{name}: writes lost", Unit.WRITES, found[f"{name}: lost"]),
            Row(f"{name}: oldest", Unit.SECONDS, found[f"{name}: oldest"]),
        )
    ]
    costs = (
        Row("requests in a minute, under load", Unit.CALLS, found["busy"]),
        Row("requests in a minute, nobody there", Unit.CALLS, found["idle"]),
        Row("memory", Unit.MEGABYTES, found["memory"]),
        Row("start, with a replica", Unit.SECONDS, found["start with"]),
        Row("start, without", Unit.SECONDS, found["start without"]),
    )
    return Table("replica", "the continuous copy", ABOUT, (*losses, *costs))
